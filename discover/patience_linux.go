package discover

import (
	"syscall"
	"time"
)

// within waits for f, but not longer: ETIMEDOUT, or EINTR if it is to stop. What f returns too late is dropped.
func within[T any](patience time.Duration, stop <-chan struct{}, f func() (T, error), drop func(T)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	var none T
	done, gone := make(chan outcome), make(chan struct{})
	go func() {
		result, err := f()
		select {
		case done <- outcome{result, err}:
		case <-gone:
			if err == nil {
				drop(result)
			}
		}
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	defer close(gone)
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
