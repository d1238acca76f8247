package testutil

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const soon = 50 * time.Millisecond

func TestNoLeakIsFound(t *testing.T) {
	start := readState()
	require.NoError(t, exec.Command("true").Run())
	discardThread(func() { require.NoError(t, syscall.Unshare(syscall.CLONE_FS)) })
	require.Empty(t, start.leaks(patience))
}

func TestLeakOfADescriptor(t *testing.T) {
	start := readState()
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	requireLeak(t, start, "descriptor left open: ", " -> /dev/null")
	between := readState()
	require.NoError(t, f.Close())
	requireLeak(t, between, "descriptor closed that was open before: ", " -> /dev/null")
	require.Empty(t, start.leaks(soon))
}

func TestLeakOfASecondPoller(t *testing.T) {
	start := readState()
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	require.NoError(t, err)
	requireLeak(t, start, "descriptor left open: ", "[eventpoll]")
	require.NoError(t, syscall.Close(fd))
}

func TestLeakOfAChild(t *testing.T) {
	start := readState()
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	requireLeak(t, start, "child left: ", "(sleep) in state")
	require.Equal(t, []int{cmd.Process.Pid}, Children())
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(start.leaks(0), "\n"), "(sleep) in state Z")
	}, patience, time.Millisecond, "zombie")
	require.Error(t, cmd.Wait())
	require.Empty(t, start.leaks(soon))
}

func TestLeakOfAMount(t *testing.T) {
	InUserns(t, func(t *testing.T) {
		dir := t.TempDir()
		start := readState()
		require.NoError(t, syscall.Mount("leaky", dir, "tmpfs", 0, ""))
		requireLeak(t, start, "mount left: ", " - tmpfs leaky ")
		between := readState()
		require.NoError(t, syscall.Unmount(dir, 0))
		requireLeak(t, between, "mount gone: ", " - tmpfs leaky ")
		require.Empty(t, start.leaks(soon))
	})
}

func TestLeakOfAThread(t *testing.T) {
	InUserns(t, func(t *testing.T) {
		for what, flag := range map[string]int{"has uts:": syscall.CLONE_NEWUTS, "lacks pid_for_children:": syscall.CLONE_NEWPID} {
			start := readState()
			there, done, gone := make(chan error), make(chan struct{}), make(chan struct{})
			go func() {
				defer close(gone)
				discardThread(func() {
					there <- syscall.Unshare(flag)
					<-done
				})
			}()
			require.NoError(t, <-there)
			leaks := strings.NewReplacer("[", " ", "]", " ").Replace(strings.Join(start.leaks(soon), "\n"))
			require.Contains(t, leaks, "in other namespaces: ")
			require.Contains(t, leaks, strings.Fields(what)[0]+"  "+strings.Fields(what)[1][:3])
			close(done)
			<-gone
			require.Empty(t, start.leaks(patience))
		}
	})
}

func requireLeak(t *testing.T, start state, prefix, suffix string) {
	t.Helper()
	leaks := strings.Join(start.leaks(soon), "\n")
	require.Regexp(t, "(?m)^"+prefix+".*"+regexp.QuoteMeta(suffix), leaks)
}

// discardThread runs f on a thread that ends with it, but not on the main one, whose namespaces /proc/self shows.
func discardThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			discardThread(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}
