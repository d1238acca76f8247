package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// Time limits. Tests make them shorter.
var (
	startTimeout = StartTimeout
	killTimeout  = KillTimeout
	exitTimeout  = 5 * time.Second // for writers after the worker's end, and for the fork of a worker that is to be killed
)

// exchange is the caller's side of a running call, and owns the descriptors. One thread waits until the worker ends, the
// context ends or startTimeout is over. The records stay in the channel until then: waking up for each costs time.
type exchange struct {
	channel *sys.Inbox
	lines   *lifelines    // the worker holds the other ends
	file    *sys.FD       // for a long result, nil if none could be made
	child   *sys.Child    // the worker, or the process that forks it
	worker  *sys.Child    // the forked worker, nil until it is known
	limit   uint64        // for the size of the result
	grace   time.Duration // that a handler has when the context ends
	until   time.Time     // deadline of the call, zero: none
	start   time.Time     // deadline for the start of the handler
	turns   wire.Turns    // what has come so far
	body    []byte
	err     error
}

// run waits for the worker's end and returns its result. It leaves no child behind, see kill.
func (x *exchange) run(ctx context.Context, streams *streams) ([]byte, error) {
	x.file = sendFile(x.channel)
	if err := x.follow(ctx); err != nil {
		x.askToEnd(err)
		over := time.Now().Add(killTimeout)
		x.abort(over)
		_ = streams.finish(max(time.Until(over), killTimeout/10))
		return nil, err
	}
	status := x.reap(time.Time{})
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

// follow waits until the worker has ended, and receives its records. The end of the context makes an eventfd readable.
func (x *exchange) follow(ctx context.Context) (err error) {
	var event *sys.FD
	if ctx.Done() != nil {
		if event, err = sys.Eventfd(); err != nil {
			return spawnError("eventfd", err)
		}
		signalled := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			sys.Signal(event)
			close(signalled)
		})
		defer func() {
			if !stop() {
				<-signalled
			}
			_ = event.Close()
		}()
	}
	x.start = time.Now().Add(startTimeout)
	err = x.await(ctx, event, x.child)
	if err == nil && x.worker != nil {
		err = x.await(ctx, event, x.worker)
	}
	return err
}

// await waits until the process has ended, and receives its records; it is an error if a deadline or the context is over.
func (x *exchange) await(ctx context.Context, event *sys.FD, child *sys.Child) error {
	for {
		ready, err := sys.WaitReadable(x.deadline(), child.Pidfd(), event.Int())
		switch {
		case err != nil:
			return &Error{Stage: StageProtocol, Op: "wait for the worker", Err: err}
		case ready[0]:
			return x.receiveAll()
		case ready[1] || x.turns.Ready() || time.Now().Before(x.start):
			return x.killError(ctx)
		}
		if err := x.receiveAll(); err != nil {
			return err
		}
		if !x.turns.Ready() {
			err := fmt.Errorf("it did not start its handler within %v: %w", startTimeout, context.DeadlineExceeded)
			return &Error{Stage: StageSpawn, Op: "worker killed", Err: err}
		}
	}
}

// deadline returns the next deadline; zero: none.
func (x *exchange) deadline() time.Time {
	if !x.turns.Ready() && (x.until.IsZero() || x.start.Before(x.until)) {
		return x.start
	}
	return x.until
}

// killError returns the error of a call whose worker must be killed.
func (x *exchange) killError(ctx context.Context) error {
	cause := context.DeadlineExceeded
	if ctx.Done() != nil {
		<-ctx.Done() // its timer may be late
		cause = context.Cause(ctx)
	}
	if err := x.receiveAll(); err != nil {
		return err
	}
	return &Error{Stage: x.stage(), Op: "worker killed", Err: cause}
}

// stage returns the stage that the worker is in.
func (x *exchange) stage() Stage {
	if x.turns.Ready() {
		return StageHandler
	}
	return StageSpawn
}

// receiveAll handles the records that are in the channel now.
func (x *exchange) receiveAll() error {
	buf := make([]byte, wire.MaxMessage)
	for {
		err := x.receiveNext(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.EAGAIN) {
			return nil
		}
		if err != nil {
			return &Error{Stage: StageProtocol, Op: "receive", Err: err}
		}
	}
}

// receiveNext handles one record. A hostile target may control the worker by now: records out of order are refused, and
// only our own child can name a process that we kill or wait for.
func (x *exchange) receiveNext(buf []byte) error {
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

// adopt opens the worker that our child has forked.
func (x *exchange) adopt(pid int) (err error) {
	x.worker, err = sys.Adopt(pid)
	if errors.Is(err, syscall.ECHILD) { // it was reaped: by the kernel if SIGCHLD is ignored, or by this program
		return nil
	}
	if err == nil {
		x.lines.armGroup(x.worker)
	}
	return err
}

func remoteFailure(text []byte) error {
	var f wire.Failure
	err := json.Unmarshal(text, &f)
	if err != nil {
		return &Error{Stage: StageProtocol, Op: "decode failure", Err: err}
	}
	switch f.Cause {
	case wire.CausePanic:
		err = &PanicError{Value: f.Text, Stack: f.Stack}
	case wire.CauseGoexit:
		err = errors.New("the handler called runtime.Goexit")
	case wire.CauseNotRegistered:
		err = fmt.Errorf("in the worker: %w", ErrNotRegistered)
	case wire.CauseSettings:
		return spawnError("settings of the worker", &RemoteError{Text: f.Text, causes: causes(f)})
	default:
		err = &RemoteError{Text: f.Text, causes: causes(f), timeout: f.Timeout}
	}
	return &Error{Stage: StageHandler, Err: err}
}

// exitError returns the error of a worker that has ended without a result.
func (x *exchange) exitError(status syscall.WaitStatus) error {
	err := errors.New("the worker ended without running the handler: does every run of the program call HandleReexec?")
	switch {
	case status.Signaled():
		err = &ExitError{Code: -1, Signal: status.Signal()}
	case x.turns.Ready() || status.ExitStatus() != 0:
		err = &ExitError{Code: status.ExitStatus()}
	}
	return &Error{Stage: x.stage(), Err: err}
}
