package call

import (
	"testing"
	"time"
)

// SetStartTimeout shortens StartTimeout for a test.
func SetStartTimeout(t testing.TB, d time.Duration) { set(t, &startTimeout, d) }

// SetKillTimeout shortens KillTimeout for a test.
func SetKillTimeout(t testing.TB, d time.Duration) { set(t, &killTimeout, d) }

// SetExitTimeout shortens the time for writers, and for the fork of a worker that is to be killed.
func SetExitTimeout(t testing.TB, d time.Duration) { set(t, &exitTimeout, d) }

func set(t testing.TB, timeout *time.Duration, d time.Duration) {
	old := *timeout
	*timeout = d
	t.Cleanup(func() { *timeout = old })
}

// SetStartTimeoutForRole shortens StartTimeout for a program.
func SetStartTimeoutForRole(d time.Duration) { startTimeout = d }
