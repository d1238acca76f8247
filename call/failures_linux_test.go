package call_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
)

// failWith calls a handler that does not return a result, in another process of our own namespaces.
func failWith(t testing.TB, handler, arg string) *call.Error {
	t.Helper()
	needBootstrap(t)
	result := "untouched"
	err := call.NewCall(handler).Arg(arg).TargetPid(os.Getpid()).SpawnInNamespaces(&result)
	require.Equal(t, "untouched", result)
	e := requireError(t, err, call.StageHandler)
	require.Equal(t, handler, e.Handler)
	return e
}

func TestErrorsReachTheCaller(t *testing.T) {
	testutil.CheckLeaks(t)
	for arg, test := range map[string]struct {
		text    string
		is, not []error
	}{
		"EPERM":    {"operation not permitted", []error{unix.EPERM, fs.ErrPermission}, []error{unix.EACCES}},
		"stat":     {"stat /does/not/exist: no such file or directory", []error{unix.ENOENT, fs.ErrNotExist}, []error{fs.ErrExist}},
		"ErrExist": {"file already exists", []error{fs.ErrExist}, []error{unix.EEXIST}},
		"wrapped":  {"one: two: operation not permitted", []error{unix.EPERM}, nil},
		"joined":   {"invalid cross-device link\nwrapped: unexpected EOF", []error{unix.EXDEV, io.ErrUnexpectedEOF}, []error{io.EOF}},
		"two":      {"both: network is down, i/o timeout", []error{unix.ENETDOWN, os.ErrDeadlineExceeded}, nil},
		"typed":    {"typed 42", []error{unix.ENOSPC}, nil},
		"text":     {"just text\nof two lines \ufffd", nil, []error{unix.EPERM, fs.ErrNotExist}},
		"empty":    {"", nil, nil},
	} {
		e := failWith(t, "errors", arg)
		var remote *call.RemoteError
		require.ErrorAs(t, e, &remote)
		require.Equal(t, test.text, remote.Text, arg)
		require.ErrorContains(t, e, test.text)
		for _, target := range test.is {
			require.ErrorIs(t, e, target, arg)
		}
		for _, target := range test.not {
			require.NotErrorIs(t, e, target, arg)
		}
	}
}

func TestPanicComesBack(t *testing.T) {
	for arg, want := range map[string]string{
		"panic":       "the value",
		"panic error": "wrapped: device or resource busy",
		"panic nil":   "panic called with nil argument",
		"nil map":     "assignment to entry in nil map",
	} {
		var p *call.PanicError
		require.ErrorAs(t, failWith(t, "die", arg), &p, arg)
		require.Contains(t, p.Value, want)
		require.Contains(t, string(p.Stack), "call_test.die(")
		require.Contains(t, p.Error(), want)
	}
}

func TestExitAndSignalAreTyped(t *testing.T) {
	testutil.CheckLeaks(t)
	for arg, want := range map[string]call.ExitError{
		"exit 3":    {Code: 3},
		"exit 0":    {Code: 0},
		"SIGKILL":   {Code: -1, Signal: syscall.SIGKILL},
		"SIGTERM":   {Code: -1, Signal: syscall.SIGTERM},
		"goroutine": {Code: 2},
	} {
		var exit *call.ExitError
		require.ErrorAs(t, failWith(t, "die", arg), &exit, arg)
		require.Equal(t, want, *exit, arg)
	}
}

func TestGoexitIsAnError(t *testing.T) {
	require.ErrorContains(t, failWith(t, "die", "goexit"), "runtime.Goexit")
}

func TestDeadlineKillsTheProcessGroup(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	for name, o := range map[string]request{
		"no join":   {Pid: os.Getpid()},
		"join":      {Types: defaultSet},
		"pid":       {Types: allSet},
		"DropPrivs": {DropPrivs: true, Types: defaultSet},
	} {
		t.Run(name, func(t *testing.T) {
			if o.Pid == 0 {
				o.Pid = startTarget(t, testutil.TargetOptions{Types: allSet}).PID
			}
			o.Handler, o.Arg = "hang", childTime
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			before := time.Now()
			err := o.call().Context(ctx).SpawnInNamespaces(nil)
			require.Less(t, time.Since(before), 3*time.Second)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			requireError(t, err, call.StageHandler)
			waitUntil(t, func() bool { return len(sleepers(t)) == 0 }, "child of the worker")
		})
	}
}

// childTime is how long a child of a worker sleeps; it distinguishes it from those of other tests.
var childTime = fmt.Sprint("1000.", os.Getpid())

// sleepers returns the processes that the handler hang has started and that still run.
func sleepers(t testing.TB) (found []string) {
	t.Helper()
	dirs, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(dir.Name())
		if name(pid) != "sleep" { // reading the command line of a hostile process may hang
			continue
		}
		text, _ := os.ReadFile("/proc/" + dir.Name() + "/cmdline")
		if string(text) == "/bin/sleep\x00"+childTime+"\x00" && !gone(pid) {
			found = append(found, dir.Name())
		}
	}
	return found
}

func TestCancelKillsWithItsCause(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	cause := errors.New("the cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(cause) })
	err := call.NewCall("hang").Arg(childTime).TargetPid(os.Getpid()).Context(ctx).SpawnInNamespaces(nil)
	require.ErrorIs(t, requireError(t, err, call.StageHandler), cause)
}

func TestCancelledBeforeTheStart(t *testing.T) {
	needBootstrap(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	requireNothingStarted(t, func() {
		err := call.NewCall("nothing").TargetPid(os.Getpid()).Context(ctx).SpawnInNamespaces(nil)
		require.ErrorIs(t, requireError(t, err, call.StageTarget), context.Canceled)
		err = call.NewCall("nothing").TargetPid(os.Getpid()).Context(ctx).SwitchToNamespaces()
		require.ErrorIs(t, requireError(t, err, call.StageTarget), context.Canceled)
	})
}

func TestArgumentsAndResultsThatJSONCannotCarry(t *testing.T) {
	needBootstrap(t)
	requireNothingStarted(t, func() {
		err := call.NewCall("echo").Arg(func() {}).TargetPid(os.Getpid()).SpawnInNamespaces(nil)
		requireError(t, err, call.StageHandler)
	})
	err := call.NewCall("type of nil").TargetPid(os.Getpid()).SpawnInNamespaces(new(int))
	requireError(t, err, call.StageProtocol)
	err = call.NewCall("echo").Arg(42).TargetPid(os.Getpid()).SpawnInNamespaces(nil)
	require.ErrorContains(t, requireError(t, err, call.StageHandler), "argument: ")
	err = call.NewCall("unsupported").TargetPid(os.Getpid()).SpawnInNamespaces(nil)
	require.ErrorContains(t, requireError(t, err, call.StageHandler), "unsupported type")
	err = call.NewCall("nothing").TargetPid(os.Getpid()).SpawnInNamespaces(person{})
	require.ErrorContains(t, err, "not a pointer")
}

func TestInvalidEnvironmentIsAnError(t *testing.T) {
	needBootstrap(t)
	for _, assignment := range []string{"NAME", "", "NAME=a\x00b", "NA\x00ME=a"} {
		c := ours("nothing").Env("GOOD=1", assignment).Env("GOOD=2")
		requireNothingStarted(t, func() {
			requireError(t, c.SpawnInNamespaces(nil), call.StageSpawn)
			requireError(t, c.SwitchToNamespaces(), call.StageSpawn)
		})
	}
}

// An error of a call that a handler makes is the handler's error: the outer call does not change its text.
func TestErrorOfANestedCallKeepsItsText(t *testing.T) {
	needBootstrap(t)
	for handler, want := range map[string]string{"unheard of": call.ErrNotRegistered.Error(), "goexit": "runtime.Goexit"} {
		e := failWith(t, "nested", handler)
		var remote *call.RemoteError
		require.ErrorAs(t, e, &remote, handler)
		require.Regexp(t, "^my own text: .*"+want, remote.Text)
	}
}

// vicious is an error whose methods panic.
type vicious struct{}

func (*vicious) Error() string                { panic("in Error") }
func (*vicious) MarshalJSON() ([]byte, error) { panic("in MarshalJSON") }

func init() {
	call.RegisterReexec("unsupported", func(any) (any, error) { return make(chan int), nil }, nil)
	call.RegisterReexec("nested", func(arg any) (any, error) {
		return nil, fmt.Errorf("my own text: %w", ours(*arg.(*string)).SpawnInNamespaces(nil))
	}, "")
	call.RegisterReexec("goexit", func(any) (any, error) { return die(new("goexit")) }, nil)
	call.RegisterReexec("vicious result", func(any) (any, error) { return &vicious{}, nil }, nil)
	call.RegisterReexec("vicious error", func(any) (any, error) { return nil, &vicious{} }, nil)
}

func TestPanicOutsideOfTheHandlerComesBack(t *testing.T) {
	needBootstrap(t)
	for handler, want := range map[string]string{"vicious result": "in MarshalJSON", "vicious error": "in Error"} {
		var p *call.PanicError
		err := call.NewCall(handler).TargetPid(os.Getpid()).SpawnInNamespaces(nil)
		require.ErrorAs(t, err, &p, handler)
		require.Contains(t, p.Value, want)
	}
}
