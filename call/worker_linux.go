package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
)

// Exit statuses of a worker and of a switched process.
const (
	exitFailed   = 1   // the handler of a switched process returned an error
	exitNoCaller = 124 // a worker could not send its result
	exitInert    = 125 // as of the bootstrap, which should have run and has not
)

// work runs the handler that the caller asked for and ends the process.
func work(w nsenter.Worker) {
	channel := sys.NewFD(w.Channel)
	name, arg, err := receiveCall(channel)
	r, ok := lookUp(name)
	if err == nil && !ok {
		err = fmt.Errorf("%q in the worker: %w", name, ErrNotRegistered)
	}
	switch {
	case !w.Spawned && err == nil:
		_, err = r.run(arg) // nobody to tell of a panic: it ends the process, as in every program
		fallthrough
	case !w.Spawned:
		finishSwitched(err)
	case err != nil:
		f := wire.NewFailure(err)
		if errors.Is(err, ErrNotRegistered) {
			f.Cause = wire.CauseNotRegistered
		}
		outcome, body := encodeFailure(f)
		finish(channel, outcome, body)
	}
	// Not in the bootstrap: with a session comes a scheduling group of its own (man 7 sched, autogroup), in which the
	// start of the Go runtime would take a tenth longer, and under load much more.
	if err := sys.NewSession(); err != nil {
		outcome, body := encodeFailure(wire.NewFailure(fmt.Errorf("setsid: %w", err)))
		finish(channel, outcome, body)
	}
	_ = sys.Send(channel, wire.AppendRecord(nil, wire.Record{Kind: wire.KindReady}))
	runAndFinish(channel, r, arg)
}

// receiveCall reads name and argument. They were sent before this process was started.
func receiveCall(channel *sys.FD) (name string, arg []byte, err error) {
	m, err := receive(channel, make([]byte, wire.MaxMessage), ^uint64(0))
	if err != nil {
		return "", nil, err
	}
	if m.Kind != wire.KindCall || m.Pid < 0 || int(m.Pid) > len(m.body) {
		return "", nil, fmt.Errorf("call of kind %d with a name of %d bytes", m.Kind, m.Pid)
	}
	applyMarks(m.Type)
	if m.Type&wire.MarkCover != 0 {
		receiveCover(channel)
	}
	return string(m.body[:m.Pid]), m.body[m.Pid:], nil
}

// runAndFinish runs the handler. Its result, an error, a panic and runtime.Goexit all leave through the deferred call;
// that the result can be encoded, and the error printed, is part of it.
func runAndFinish(channel *sys.FD, r registration, arg []byte) {
	outcome, body := encodeFailure(wire.Failure{Cause: wire.CauseGoexit})
	defer func() {
		if value := recover(); value != nil {
			outcome, body = encodeFailure(newPanic(fmt.Sprint(value), debug.Stack()))
		}
		finish(channel, outcome, body)
	}()
	result, err := r.run(arg)
	var text []byte
	if err == nil {
		text, err = json.Marshal(result)
	}
	if err != nil {
		outcome, body = encodeFailure(wire.NewFailure(err))
		return
	}
	outcome, body = wire.OutcomeResult, text
}

func newPanic(text string, stack []byte) wire.Failure {
	return wire.Failure{
		Text: text[:min(len(text), wire.MaxText)], Stack: stack[:min(len(stack), wire.MaxText)], Cause: wire.CausePanic,
	}
}

func encodeFailure(f wire.Failure) (outcome uint16, body []byte) {
	body, _ = json.Marshal(f) // strings and numbers
	return wire.OutcomeFailure, body
}

// finish sends the outcome and ends the worker.
func finish(channel *sys.FD, outcome uint16, body []byte) {
	if err := send(channel, wire.Record{Kind: wire.KindResult, Stage: outcome}, body); err != nil {
		exit(exitNoCaller)
	}
	exit(0)
}

func finishSwitched(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		exit(exitFailed)
	}
	exit(0)
}
