package discover

import (
	"syscall"
	"time"
)

// within waits for f, but not longer: ETIMEDOUT, or EINTR if it is to stop. What f returns too late is lost, and a
// descriptor closed when it is collected.
func within[T any](patience time.Duration, stop <-chan struct{}, f func() (T, error)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	var none T
	done := make(chan outcome, 1)
	go func() {
		result, err := f()
		done <- outcome{result, err}
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-limit.C:
		return none, syscall.ETIMEDOUT
	case <-stop:
		return none, syscall.EINTR
	}
}

// makePoller has the runtime open what it waits with. It does so with the first timer, and ends the program if a discovery
// has used up the descriptors by then.
func makePoller() { time.AfterFunc(time.Hour, func() {}).Stop() }
