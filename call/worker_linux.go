package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
)

// Exit statuses of a worker and of a switched process.
const (
	exitFailed   = 1   // the handler of a switched process returned an error
	exitNoCaller = 124 // a worker could not send its result
	exitInert    = 125 // the bootstrap has not run although it should have; its own failures have this status, too
)

// work runs the handler and ends the process.
func work(w nsenter.Worker) {
	channel := sys.NewFD(w.Channel)
	name, arg, marks, err := receiveCall(channel)
	applyMarks(marks)
	if marks&wire.MarkCover != 0 {
		receiveCover(channel)
	}
	r, ok := lookUp(name)
	if err == nil && !ok {
		err = fmt.Errorf("%q in the worker: %w", name, ErrNotRegistered)
	}
	if !w.Spawned {
		if w.Lifeline >= 0 {
			go watch(w.Lifeline, false)
		}
		if err == nil {
			_, err = r.run(arg) // a panic ends the process, as in every program: nobody waits for its record
		}
		finishSwitched(err)
	}
	out := &outlet{channel: channel}
	if err == nil {
		err = becomeReady(channel, w.Lifeline)
	}
	if marks&wire.MarkWatch != 0 || ignoresLifelines() {
		go watch(w.Lifeline, true)
	}
	if err != nil {
		f := wire.NewFailure(err)
		if errors.Is(err, ErrNotRegistered) {
			f.Cause = wire.CauseNotRegistered
		}
		out.fail(f)
	}
	runAndFinish(out, r, arg)
}

// becomeReady starts a new session, arms the lifeline of the process group and sends READY. The bootstrap does not
// start the session: it gets a scheduling group of its own (man 7 sched, autogroup), in which the Go runtime starts a
// tenth slower, and under load much slower.
func becomeReady(channel *sys.FD, lifeline int) error {
	if _, err := syscall.Setsid(); err != nil {
		return fmt.Errorf("setsid: %w", err)
	}
	if err := armOwnGroup(lifeline); err != nil {
		return fmt.Errorf("lifeline: %w", err)
	}
	_ = sys.Send(channel, wire.AppendRecord(nil, wire.Record{Kind: wire.KindReady}))
	return nil
}

// runAndFinish runs the handler. The deferred function sends the result, the error, the panic or that runtime.Goexit was
// called, also if encoding the result or printing the error panics.
func runAndFinish(out *outlet, r registration, arg []byte) {
	failure := &wire.Failure{Cause: wire.CauseGoexit}
	var text []byte
	defer func() {
		if value := recover(); value != nil {
			failure = newPanic(fmt.Sprint(value), debug.Stack())
		}
		if failure != nil {
			out.fail(*failure)
		}
		out.finish(text)
	}()
	result, err := r.run(arg)
	if err == nil {
		text, err = json.Marshal(result)
	}
	if err != nil {
		f := wire.NewFailure(err)
		failure = &f
		return
	}
	failure = nil
}

func newPanic(text string, stack []byte) *wire.Failure {
	return &wire.Failure{
		Text: text[:min(len(text), wire.MaxText)], Stack: stack[:min(len(stack), wire.MaxText)], Cause: wire.CausePanic,
	}
}

// finish sends the result, or why it could not be sent, and ends the worker.
func (o *outlet) finish(text []byte) {
	if err := o.send(wire.OutcomeResult, text); err != nil {
		o.fail(wire.NewFailure(fmt.Errorf("send a result of %d bytes: %w", len(text), err)))
	}
	exit(0)
}

// fail sends a failure, or a short one if it cannot be sent, and ends the worker.
func (o *outlet) fail(f wire.Failure) {
	err := o.send(wire.OutcomeFailure, encode(f))
	if err != nil {
		err = o.send(wire.OutcomeFailure, encode(f.Short(fmt.Errorf("send all of this: %w", err))))
	}
	if err != nil {
		exit(exitNoCaller)
	}
	exit(0)
}

func encode(f wire.Failure) []byte {
	text, _ := json.Marshal(f) // cannot fail
	return text
}

func finishSwitched(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		exit(exitFailed)
	}
	exit(0)
}
