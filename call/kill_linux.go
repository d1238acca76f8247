package call

import (
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
)

// maxGarbage is how many records findWorker skips. The send buffer of a socket holds fewer.
const maxGarbage = 1 << 16

// abort kills the worker and waits for its end, but not after over: a goroutine waits on.
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

// kill ends and reaps all children of the call. If a child has not yet forked the worker, kill waits until it has, and
// has sent the PID: without that, nobody could wait for the worker. It does not take long, since the child opens
// nothing of the target. A child that is frozen or blocked in the kernel does not end by SIGKILL: it is reaped later.
func (x *exchange) kill(over time.Time) {
	if x.turns.Forks && x.worker == nil {
		_, _ = sys.WaitReadable(time.Now().Add(exitTimeout), x.child.Pidfd())
		x.findWorker()
	}
	if x.worker != nil {
		x.worker.Kill()
	}
	x.child.Kill()
	x.lines.cut()
	x.reap(over)
}

// findWorker searches the channel for the record that names the worker.
func (x *exchange) findWorker() {
	buf := make([]byte, wire.MaxMessage)
	for range maxGarbage {
		err := x.receiveNext(buf)
		if x.worker != nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.EAGAIN) {
			return
		}
	}
}

// reap reaps the children of the call, which have ended or do so until over, and returns the worker's status. A child
// that is traced can be reaped only after its tracer has done so: a goroutine waits for that, and the status is 0.
func (x *exchange) reap(over time.Time) (status syscall.WaitStatus) {
	for _, c := range []*sys.Child{x.child, x.worker} {
		if c == nil {
			continue
		}
		var ok bool
		if status, ok = c.Wait(over); !ok {
			c.WaitLater()
		}
	}
	return status
}
