package call_test

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "switched" prints what it sees, echoes its input, and reads descriptor 3.
	call.RegisterReexec("switched", func(arg any) (any, error) {
		host, _ := os.Hostname()
		text, err := io.ReadAll(os.NewFile(3, "inherited"))
		fmt.Println(os.Getpid(), host, *arg.(*string), os.Args[1:], string(text))
		_, _ = io.Copy(os.Stderr, os.Stdin)
		return "dropped", err
	}, "")
	roles["switcher that ignores SIGCHLD"] = func(args []string) {
		signal.Ignore(syscall.SIGCHLD)
		roles["switcher"](args)
	}
}

func pipeWith(t testing.TB, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	_, err = w.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestSwitchReplacesTheProcess(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	for _, types := range []species.Set{0, defaultSet.With(species.CLONE_NEWUSER), allSet} {
		cmd := role(t, "switcher", request{Handler: "switched", Arg: "argument", Pid: target.PID, Types: types}.json())
		cmd.ExtraFiles = []*os.File{pipeWith(t, "inherited file")}
		cmd.Stdin = strings.NewReader("standard input")
		r := run(t, cmd)
		require.Zero(t, r.Code, r.Stderr)
		require.Equal(t, "standard input", r.Stderr)
		var pid int
		_, err := fmt.Sscan(r.Stdout, &pid)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintln(pid, "nsops-target", "argument", "[]", "inherited file"), r.Stdout)
		if types.Has(species.CLONE_NEWPID) {
			require.Less(t, pid, 100)
		} else {
			require.Equal(t, cmd.Process.Pid, pid)
		}
	}
}

func TestSwitchedProcessEndsAsItsHandler(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, test := range []struct {
		handler, arg string
		want         result
	}{
		{"nothing", "", result{}},
		{"errors", "wrapped", result{Code: 1, Stderr: "one: two: operation not permitted\n"}},
		{"die", "exit 3", result{Code: 3}},
		{"die", "SIGKILL", result{Code: -1, Signal: syscall.SIGKILL}},
		{"die", "SIGTERM", result{Code: -1, Signal: syscall.SIGTERM}},
	} {
		for _, types := range []species.Set{0, defaultSet.With(species.CLONE_NEWPID)} {
			cmd := role(t, "switcher", request{Handler: test.handler, Arg: test.arg, Pid: target.PID, Types: types}.json())
			require.Equal(t, test.want, run(t, cmd), "%s %s %s", test.handler, test.arg, types)
		}
	}
	r := run(t, role(t, "switcher", request{Handler: "die", Arg: "panic", Pid: target.PID}.json()))
	require.Equal(t, 2, r.Code)
	require.Contains(t, r.Stderr, "panic: the value")
}

// If SIGCHLD is ignored, as it may be in the caller, the parent could not get the child's status.
func TestSwitchedProcessEndsAsItsHandlerThoughSIGCHLDIsIgnored(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for arg, want := range map[string]result{
		"exit 3":  {Code: 3},
		"SIGKILL": {Code: -1, Signal: syscall.SIGKILL},
	} {
		r := request{Handler: "die", Arg: arg, Pid: target.PID, Types: defaultSet.With(species.CLONE_NEWPID)}
		require.Equal(t, want, run(t, role(t, "switcher that ignores SIGCHLD", r.json())), arg)
	}
}

func TestSwitchThatCannotJoinEndsWith125(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, types := range []species.Set{0, defaultSet.With(species.CLONE_NEWPID)} {
		cmd := role(t, "switcher", request{Handler: "print", Arg: "ran", Pid: target.PID, Types: types}.json())
		cmd.Path = copyOf(t, testBinary(t), 0o755)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: 1234, Gid: 1234}, AmbientCaps: []uintptr{unix.CAP_SYS_PTRACE},
		}
		r := run(t, cmd)
		require.Equal(t, 125, r.Code)
		require.Empty(t, r.Stdout)
		require.Regexp(t, `^nsops: bootstrap: errno 001 at setns *\n$`, r.Stderr)
	}
}

func TestSwitchErrorsBeforeAnythingChanged(t *testing.T) {
	needBootstrap(t)
	for want, c := range map[string]*call.Call{
		"no such handler":        call.NewCall("unheard of").TargetPid(os.Getpid()),
		"a PID must be positive": call.NewCall("nothing").TargetPid(0),
		"unsupported type":       call.NewCall("echo").TargetPid(os.Getpid()).Arg(func() {}),
	} {
		require.ErrorContains(t, c.SwitchToNamespaces(), want)
	}
}

func TestSwitchedProcessDiesWithItsParentHalf(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	for name, r := range map[string]request{
		"pid":       {Types: defaultSet.With(species.CLONE_NEWPID)},
		"DropPrivs": {Types: defaultSet.With(species.CLONE_NEWPID), DropPrivs: true},
		"all":       {Types: allSet},
	} {
		t.Run(name, func(t *testing.T) {
			r.Handler, r.Pid = "block", target.PID
			outer, inner := orphan(t, "switcher", r)
			require.NoError(t, outer.Kill())
			waitUntil(t, func() bool { return gone(inner) }, "the half inside is still there")
		})
	}
}
