package call

import (
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

// What is not waited for any longer. Tests make these shorter.
var (
	startTimeout = StartTimeout
	killTimeout  = KillTimeout
	exitTimeout  = 5 * time.Second // for writers after the worker's end, and for the fork of one that is to be killed
)

// exchange is the caller's side of a running call: one thread that waits for the end of the worker, of the context or
// of the time to start. Records wait in the channel meanwhile: to be woken for each would cost more than to read them.
// It owns the descriptors.
type exchange struct {
	channel *sys.Inbox
	lines   *lifelines // their end is the worker's
	file    *sys.FD    // for a long result, nil if none could be made
	child   *sys.Child // the worker, or the process that forks it
	worker  *sys.Child // that fork, nil until it is known
	limit   uint64     // of the result's size
	until   time.Time  // when the call must be over, zero if it may take for ever
	start   time.Time  // when the handler must have been started
	turns   wire.Turns // what came so far
	body    []byte
	err     error
}

// run sees the worker to its end and returns its result. Whatever happens, no child is left, but for one that SIGKILL
// does not end in time: a goroutine waits for that.
func (x *exchange) run(ctx context.Context, streams *streams) ([]byte, error) {
	x.file = sendFile(x.channel)
	if err := x.followUntil(ctx); err != nil {
		over := time.Now().Add(killTimeout)
		x.abort(over)
		_ = streams.finish(max(time.Until(over), killTimeout/10))
		return nil, err
	}
	status := x.reap()
	x.close()
	output := streams.finish(exitTimeout)
	switch {
	case x.err != nil:
		return nil, x.err
	case status != 0 || !x.turns.Done():
		return nil, x.exitError(status)
	case output != nil:
		return nil, &Error{Stage: StageProtocol, Op: "copy its output", Err: output}
	}
	return x.body, nil
}

func (x *exchange) close() {
	_ = x.channel.Close()
	x.lines.close()
	closeAll(x.file)
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
		case ready[1] || x.turns.Ready() || time.Now().Before(x.start):
			return x.killed(ctx)
		}
		if err := x.take(); err != nil {
			return err
		}
		if !x.turns.Ready() {
			err := fmt.Errorf("it did not start its handler within %v: %w", startTimeout, context.DeadlineExceeded)
			return &Error{Stage: StageSpawn, Op: "worker killed", Err: err}
		}
	}
}

// deadline returns until when the worker is waited for, zero if for ever.
func (x *exchange) deadline() time.Time {
	if !x.turns.Ready() && (x.until.IsZero() || x.start.Before(x.until)) {
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
	if !x.turns.Ready() {
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
	m, err := receive(x.channel, buf)
	if err != nil {
		return err
	}
	if err := x.turns.Next(m.Record, m.sender == x.child.PID); err != nil {
		return err
	}
	switch m.Kind {
	case wire.KindForked:
		return x.adopt(int(m.Pid))
	case wire.KindFailed:
		x.err = &Error{Stage: Stage(m.Stage), Type: species.NamespaceType(m.Type), Op: m.StepName(), Err: explainErrno(m.Record)}
	case wire.KindResult:
		if x.body, err = m.body(x.file, x.limit); err != nil {
			return err
		}
		if m.Record.Stage == wire.OutcomeFailure {
			x.err = remoteFailure(x.body)
		}
	}
	return nil
}

// adopt takes hold of the worker that our child has forked.
func (x *exchange) adopt(pid int) (err error) {
	x.worker, err = sys.Adopt(pid)
	if errors.Is(err, syscall.ECHILD) { // it has ended, and this program ignores SIGCHLD or reaps what it does not know
		return nil
	}
	if err == nil {
		x.lines.holdGroup(x.worker)
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
	if !x.turns.Ready() {
		stage = StageSpawn
	}
	switch {
	case status.Signaled():
		return &Error{Stage: stage, Err: &ExitError{Code: -1, Signal: status.Signal()}}
	case x.turns.Ready() || status.ExitStatus() != 0:
		return &Error{Stage: stage, Err: &ExitError{Code: status.ExitStatus()}}
	}
	return &Error{Stage: stage, Err: errNoResult}
}
