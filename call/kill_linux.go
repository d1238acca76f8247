package call

import (
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
)

// maxGarbage is how many records are passed over in search of the one that names a child. The send buffer of a socket
// holds fewer.
const maxGarbage = 1 << 16

// abort ends the worker, and waits for that, but not for long: a goroutine sees to the rest.
func (x *exchange) abort(over time.Time) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.kill(over)
		x.close()
	}()
	select {
	case <-done:
	case <-time.After(time.Until(over)):
	}
}

// kill ends and reaps all children of the call. A child that has still to fork the worker is let do so and say its PID,
// or nobody could wait for it; that takes no time, since it opens nothing of the target. What SIGKILL does not end, since
// it is frozen or hangs in the kernel, is reaped when it does end.
func (x *exchange) kill(over time.Time) {
	if x.turns.Forks && x.worker == nil {
		_, _ = sys.WaitReadable(time.Now().Add(exitTimeout), x.child.Pidfd())
		x.findWorker()
	}
	for _, c := range []*sys.Child{x.worker, x.child} {
		if c != nil {
			c.Kill()
		}
	}
	x.lines.cut()
	for _, c := range []*sys.Child{x.worker, x.child} {
		if c == nil {
			continue
		}
		if _, ok := c.Wait(over); !ok {
			c.WaitLater()
		}
	}
}

// findWorker looks for the record that names the worker, whatever stands before it.
func (x *exchange) findWorker() {
	buf := make([]byte, wire.MaxMessage)
	for range maxGarbage {
		err := x.next(buf)
		if x.worker != nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.EAGAIN) {
			return
		}
	}
}

// reap reaps the children of a call that have ended, and returns the worker's status. One that is traced is its tracer's
// to reap first, and has status 0.
func (x *exchange) reap() (status syscall.WaitStatus) {
	for _, c := range []*sys.Child{x.child, x.worker} {
		if c == nil {
			continue
		}
		var ok bool
		if status, ok = c.Wait(time.Time{}); !ok {
			c.WaitLater()
		}
	}
	return status
}
