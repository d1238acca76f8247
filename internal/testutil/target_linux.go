package testutil

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// searchPath is the PATH in targets, whatever root they have.
const searchPath = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

// Target is a process to be joined.
type Target struct {
	PID int // of the process that is inside, in the PID namespace of the test

	t    testing.TB
	stop func()
}

// StartTarget starts a target, which the end of the test stops. It returns when the target is asleep, with everything
// done that the options ask for. The test fails if that is impossible; without the rights it is skipped.
func StartTarget(t testing.TB, o TargetOptions) *Target {
	t.Helper()
	o = o.withDefaults()
	o.need(t)

	asleep, wakeUp, err := os.Pipe()
	require.NoError(t, err)
	var output bytes.Buffer
	argv := o.argv()
	cmd := &exec.Cmd{Path: argv[0], Args: argv, Env: []string{searchPath}, Dir: "/", Stdin: asleep,
		Stdout: &output, Stderr: &output, SysProcAttr: o.attributes(), WaitDelay: time.Second}
	err = cmd.Start()
	_ = asleep.Close()
	if err != nil {
		_ = wakeUp.Close()
		t.Fatalf("start target with %s: %v", o.Types, err)
	}
	target := Attach(t, cmd.Process.Pid, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = wakeUp.Close()
	})
	if !target.waitFor(sleeper) {
		target.Stop()
		t.Fatalf("set up target with %s: %s: %s", o.Types, cmd.ProcessState, output.String())
	}
	return target
}

// Attach makes a target of a process that somebody else started. The end of the test calls stop, once, which has to
// wait until the process is gone; nil: the process is left alone.
func Attach(t testing.TB, pid int, stop func()) *Target {
	t.Helper()
	if stop == nil {
		stop = func() {}
	}
	target := &Target{PID: pid, t: t, stop: sync.OnceFunc(stop)}
	t.Cleanup(target.Stop)
	return target
}

// Stop ends the target, and with its PID namespace all that is in there. It returns when the target is gone and
// reaped. Again, it does nothing.
func (g *Target) Stop() { g.stop() }

// waitFor waits until the target's process goes by that name; false if that does not happen soon.
func (g *Target) waitFor(name string) bool {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		switch p := readProcess(strconv.Itoa(g.PID)); {
		case p.name == name:
			return true
		case p.state == "Z", p.state == "":
			return false
		}
	}
	return false
}
