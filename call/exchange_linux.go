package call

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// What is not waited for any longer. Tests make both shorter.
var (
	startTimeout = StartTimeout
	exitTimeout  = 5 * time.Second // for the end of a process after SIGKILL
)

// maxGarbage is how many records are passed over in search of the one that names a child.
const maxGarbage = 256

// exchange is the caller's side of a running call: one thread that waits for the end of the worker, of the context or
// of the time to start. Records wait in the channel meanwhile: to be woken for each would cost more than to read them.
type exchange struct {
	channel  *sys.FD
	lifeline *sys.FD    // its end is the worker's
	child    *sys.Child // the worker, or the process that forks it
	limit    uint64     // of the result's size
	forked   bool       // a worker in a PID namespace is a fork of child
	worker   *sys.Child // that fork, nil until it is known
	until    time.Time  // when the call must be over, zero if it may take for ever
	start    time.Time  // when the handler must have been started
	seen     uint       // kinds of records that came, as bits
	ready    bool       // the handler has been started
	done     bool       // a result or a failure is there
	body     []byte
	err      error
}

// run sees the worker to its end and returns its result. Whatever happens, no child is left.
func (x *exchange) run(ctx context.Context, streams *streams) ([]byte, error) {
	err := x.followUntil(ctx)
	if err != nil {
		x.abort()
	}
	status := x.reap()
	output := streams.finish()
	switch {
	case err != nil:
		return nil, err
	case x.err != nil:
		return nil, x.err
	case status != 0 || !x.done:
		return nil, x.exitError(status)
	case output != nil:
		return nil, &Error{Stage: StageProtocol, Op: "copy its output", Err: output}
	}
	return x.body, nil
}

// followUntil follows the worker, if the context can end with an eventfd that this makes readable.
func (x *exchange) followUntil(ctx context.Context) error {
	if ctx.Done() == nil {
		return x.follow(ctx, -1)
	}
	event, err := sys.Eventfd()
	if err != nil {
		return spawnError("eventfd", err)
	}
	defer func() { _ = event.Close() }()
	signalled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		sys.Signal(event)
		close(signalled)
	})
	err = x.follow(ctx, event.Int())
	if !stop() {
		<-signalled
	}
	return err
}

// follow waits until the worker has ended, and takes what it has said.
func (x *exchange) follow(ctx context.Context, event int) error {
	x.start = time.Now().Add(startTimeout)
	if err := x.await(ctx, event, x.child); err != nil {
		return err
	}
	if err := x.take(); err != nil || x.worker == nil {
		return err
	}
	if err := x.await(ctx, event, x.worker); err != nil {
		return err
	}
	return x.take()
}

// await waits until the process has ended, unless its time is up before.
func (x *exchange) await(ctx context.Context, event int, child *sys.Child) error {
	for {
		ready, err := sys.WaitReadable(x.deadline(), child.Pidfd(), event)
		switch {
		case err != nil:
			return &Error{Stage: StageProtocol, Op: "wait for the worker", Err: err}
		case ready[0]:
			return nil
		case ready[1] || x.ready || time.Now().Before(x.start):
			return x.killed(ctx)
		}
		if err := x.take(); err != nil {
			return err
		}
		if !x.ready {
			err := fmt.Errorf("it did not start its handler within %v: %w", startTimeout, context.DeadlineExceeded)
			return &Error{Stage: StageSpawn, Op: "worker killed", Err: err}
		}
	}
}

// deadline returns until when the worker is waited for, zero if for ever.
func (x *exchange) deadline() time.Time {
	if !x.ready && (x.until.IsZero() || x.start.Before(x.until)) {
		return x.start
	}
	return x.until
}

// killed says why the worker is to be.
func (x *exchange) killed(ctx context.Context) error {
	cause, stage := context.DeadlineExceeded, StageHandler
	if ctx.Done() != nil {
		<-ctx.Done() // its timer may be late
		cause = context.Cause(ctx)
	}
	if err := x.take(); err != nil {
		return err
	}
	if !x.ready {
		stage = StageSpawn
	}
	return &Error{Stage: stage, Op: "worker killed", Err: cause}
}

// take handles the records that are there now.
func (x *exchange) take() error {
	buf := make([]byte, wire.MaxMessage)
	for {
		err := x.next(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.EAGAIN) {
			return nil
		}
		if err != nil {
			return &Error{Stage: StageProtocol, Op: "receive", Err: err}
		}
	}
}

// next handles one record. The handler may be in hostile hands by now, so nothing is taken out of turn, and what could
// make us kill or wait for a process comes from our own child or not at all.
func (x *exchange) next(buf []byte) error {
	m, err := receive(x.channel, buf, x.limit)
	if err != nil {
		return err
	}
	kind := uint(1) << m.Kind
	if x.seen&kind != 0 || m.Kind == wire.KindForked && (!x.forked || m.sender != x.child.PID) {
		return fmt.Errorf("record of kind %d out of turn", m.Kind)
	}
	x.seen |= kind
	switch m.Kind {
	case wire.KindForked:
		return x.adopt(int(m.Pid))
	case wire.KindReady:
		x.ready = true
	case wire.KindFailed:
		x.done = true
		x.err = &Error{Stage: Stage(m.Stage), Type: species.NamespaceType(m.Type), Op: m.StepName(), Err: explainErrno(m.Record)}
	case wire.KindResult:
		x.done = true
		x.body = m.body
		if len(m.body) <= wire.MaxInline { // in buf
			x.body = bytes.Clone(m.body)
		}
		if m.Record.Stage != wire.OutcomeResult {
			x.err = remoteFailure(m.body)
		}
	}
	return nil
}

// adopt takes hold of the worker that our child has forked.
func (x *exchange) adopt(pid int) (err error) {
	x.worker, err = sys.Adopt(pid)
	if errors.Is(err, syscall.ESRCH) { // it has ended, and this program ignores SIGCHLD
		return nil
	}
	return err
}

// explainErrno adds what an errno of the bootstrap means where it would puzzle.
func explainErrno(r wire.Record) error {
	if err := explainWorker(r); err != nil {
		return err
	}
	errno := syscall.Errno(r.Errno)
	switch {
	case r.StepName() == "setns" && errno == syscall.ESRCH:
		return fmt.Errorf("the target has ended: %w", errno)
	case r.StepName() == "fork" && errno == syscall.ENOMEM:
		return fmt.Errorf("the first process of that PID namespace has ended: %w", errno)
	}
	return errno
}

func remoteFailure(text []byte) error {
	f, err := wire.ParseFailure(text)
	if err != nil {
		return &Error{Stage: StageProtocol, Op: "decode failure", Err: err}
	}
	switch f.Cause {
	case wire.CausePanic:
		err = &PanicError{Value: f.Text, Stack: f.Stack}
	case wire.CauseGoexit:
		err = errGoexit
	case wire.CauseNotRegistered:
		err = fmt.Errorf("in the worker: %w", ErrNotRegistered)
	default:
		err = &RemoteError{Text: f.Text, causes: f.Causes()}
	}
	return &Error{Stage: StageHandler, Err: err}
}

// exitError says why there is no result.
func (x *exchange) exitError(status syscall.WaitStatus) error {
	stage := StageHandler
	if !x.ready {
		stage = StageSpawn
	}
	switch {
	case status.Signaled():
		return &Error{Stage: stage, Err: &ExitError{Code: -1, Signal: status.Signal()}}
	case x.ready || status.ExitStatus() != 0:
		return &Error{Stage: stage, Err: &ExitError{Code: status.ExitStatus()}}
	}
	return &Error{Stage: stage, Err: errNoResult}
}

// abort ends the worker. A child that has still to fork it is let do so and say its PID, or nobody could wait for it;
// that takes no time, since it opens nothing of the target.
func (x *exchange) abort() {
	if x.forked && x.worker == nil {
		_, _ = sys.WaitReadable(time.Now().Add(exitTimeout), x.child.Pidfd())
		for range maxGarbage {
			if x.take() == nil || x.worker != nil {
				break
			}
		}
	}
	if x.worker != nil {
		x.worker.Kill()
	}
	x.child.Kill()
	_ = x.lifeline.Close()
}

// reap waits for all children of the call and returns the worker's status. One that SIGKILL does not end, since it
// hangs in the kernel, is left to a goroutine.
func (x *exchange) reap() syscall.WaitStatus {
	status := reap(x.child)
	if x.worker != nil {
		status = reap(x.worker)
	}
	return status
}

func reap(c *sys.Child) syscall.WaitStatus {
	status, ok := c.Wait(time.Now().Add(exitTimeout))
	if ok {
		return status
	}
	c.Kill()
	if status, ok = c.Wait(time.Now().Add(exitTimeout)); !ok {
		go c.Wait(time.Time{})
		return syscall.WaitStatus(syscall.SIGKILL)
	}
	return status
}
