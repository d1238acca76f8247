package call

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
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

// runAsWorker runs the handler in a worker. In other processes it opens the executable, before anything can change /proc.
func runAsWorker() {
	w, ok := nsenter.Current()
	_, asked := os.LookupEnv(wire.ChannelEnv)
	if asked { // also in a worker, if another constructor has copied the environment
		_ = os.Unsetenv(wire.ChannelEnv)
	}
	if ok {
		work(w)
	}
	if asked && !isSetByUser() {
		fmt.Fprintf(os.Stderr, "nsops: %s is set, but the bootstrap has not run: a security module requires a secure start "+
			"(AT_SECURE), or the program lacks the bootstrap, or has set the variable itself\n", wire.ChannelEnv)
		sys.Exit(exitInert)
	}
	_ = sys.HoldExecutable() // a call tries again, and returns the error
}

// isSetByUser reports whether this program is set-user-ID, set-group-ID or has file capabilities, which a worker never
// is: then a user with fewer rights has set the channel's variable, and the program must run nevertheless.
func isSetByUser() bool {
	return nsenter.SetID() || nsenter.Secure() && sys.ExecutableHasCapabilities()
}

// work runs the handler and ends the process.
func work(w nsenter.Worker) {
	channel := sys.NewFD(w.Channel)
	name, arg, marks, err := receiveCall(channel)
	name, settings, hasSettings := strings.Cut(name, "\x00")
	if marks&wire.MarkProcs != 0 {
		_ = os.Unsetenv(procsEnv)
	}
	if marks&wire.MarkCover != 0 {
		receiveCover(channel)
	}
	cause := ""
	r, ok := lookUp(name)
	if err == nil && !ok {
		err, cause = fmt.Errorf("%q in the worker: %w", name, ErrNotRegistered), wire.CauseNotRegistered
	}
	if err == nil && hasSettings {
		err, cause = applySettings(settings), wire.CauseSettings
	}
	if !w.Spawned {
		if w.Lifeline >= 0 {
			go watch(w.Lifeline, false)
		}
		if err == nil {
			_, err = r.run(&workerContext{}, arg) // a panic ends the process, as in every program: nobody waits for its record
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			exit(exitFailed)
		}
		exit(0)
	}
	if err == nil {
		err = becomeReady(channel, w.Lifeline)
	}
	isFirst := os.Getpid() == 1 // of its PID namespace: neither a process inside nor a lifeline can kill it
	if marks&wire.MarkWatch != 0 || isFirst {
		go watch(w.Lifeline, true)
	}
	if err != nil {
		f := newFailure(err)
		f.Cause = cause
		fail(channel, f)
	}
	r.runThen(&workerContext{}, arg, func(text []byte, f wire.Failure) { finish(channel, text, f) })
}

// becomeReady starts a new session, arms the lifeline of the process group and sends READY. If the bootstrap started the
// session, the Go runtime would start slower in its new scheduling group (man 7 sched, autogroup).
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

// finish sends the result, or without one the failure, and ends the worker.
func finish(channel *sys.FD, text []byte, failure wire.Failure) {
	if text != nil {
		err := sendOutcome(channel, wire.OutcomeResult, text)
		if err == nil {
			exit(0)
		}
		failure = newFailure(fmt.Errorf("send a result of %d bytes: %w", len(text), err))
	}
	fail(channel, failure)
}

// fail sends a failure, or a short one if it cannot be sent, and ends the worker.
func fail(channel *sys.FD, f wire.Failure) {
	err := sendOutcome(channel, wire.OutcomeFailure, textOf(f))
	if err != nil {
		err = sendOutcome(channel, wire.OutcomeFailure, textOf(f.Short(fmt.Errorf("send all of this: %w", err))))
	}
	if err != nil {
		exit(exitNoCaller)
	}
	exit(0)
}

func textOf(f wire.Failure) []byte {
	text, _ := json.Marshal(f) // cannot fail
	return text
}
