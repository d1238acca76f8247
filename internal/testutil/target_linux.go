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

// searchPath is the PATH of all targets.
const searchPath = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

// Target is a process to be joined.
type Target struct {
	PID int // of the process inside, in the test's PID namespace

	t    testing.TB
	stop func()
}

// StartTarget starts a target, which the end of the test stops. It returns when the target sleeps and is set up as the
// options say. If that fails, the test fails; without the rights it is skipped.
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

// Attach makes a process a target that was started by other means. The end of the test calls stop, once, which must wait
// until the process has ended; nil: the process is not stopped.
func Attach(t testing.TB, pid int, stop func()) *Target {
	t.Helper()
	if stop == nil {
		stop = func() {}
	}
	target := &Target{PID: pid, t: t, stop: sync.OnceFunc(stop)}
	t.Cleanup(target.Stop)
	return target
}

// Stop ends the target, and all processes in its PID namespace. It returns when the target is reaped. A second call does
// nothing.
func (g *Target) Stop() { g.stop() }

// waitFor waits until the target's process has that name; false: it does not get it in time.
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
