package call_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "keeper" becomes an ordinary user and keeps its capabilities, on the thread that calls.
	roles["keeper"] = func(args []string) {
		call.HandleReexec()
		runtime.LockOSThread()
		becomeKeeper()
		callUnchanged(args)
	}
	// "demoted" was root, and has become an ordinary user for good.
	roles["demoted"] = func(args []string) {
		call.HandleReexec()
		check(syscall.Setresgid(1234, 1234, 1234))
		check(syscall.Setresuid(1234, 1234, 1234))
		callUnchanged(args)
	}
	// "torn" has three different user IDs, and no way back to the third one.
	roles["torn"] = func(args []string) {
		call.HandleReexec()
		runtime.LockOSThread()
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 1001, 1002, 1003)
		if errno != 0 {
			check(errno)
		}
		spawnAndPrint(parseRequest(args[0]))
		time.Sleep(100 * time.Millisecond)
		if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
			fmt.Fprintln(os.Stderr, "a child is left:", err)
		}
	}
	roles["rights"] = func(args []string) {
		call.HandleReexec()
		callUnchanged(args)
	}
}

func becomeKeeper() {
	check(unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0))
	setThreadUID(1234)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	check(unix.Capget(&header, &caps[0]))
	caps[0].Effective, caps[1].Effective = caps[0].Permitted, caps[1].Permitted
	check(unix.Capset(&header, &caps[0]))
}

func setThreadUID(uid uintptr) {
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid)
	if errno != 0 {
		check(errno)
	}
}

// callUnchanged fails to switch, then calls or switches as its arguments say: request and mode. Neither may change the
// credentials of the thread.
func callUnchanged(args []string) {
	runtime.LockOSThread()
	before := threadRights()
	r := parseRequest(args[0])
	if err := r.call().Env("TOO=" + strings.Repeat("long", 1<<16)).SwitchToNamespaces(); err == nil || !strings.Contains(err.Error(), "argument list too long") {
		fmt.Fprintln(os.Stderr, "switch:", err)
	}
	if after := threadRights(); after != before {
		fmt.Fprintln(os.Stderr, "changed by a switch that failed:", before, after)
	}
	if args[1] == "switch" {
		check(r.call().SwitchToNamespaces())
	}
	spawnAndPrint(r)
	if after := threadRights(); after != before {
		fmt.Fprintln(os.Stderr, "changed by a call:", before, after)
	}
}

// threadRights returns the lines with IDs and capabilities of the calling thread's status.
func threadRights() string {
	text, err := os.ReadFile("/proc/thread-self/status")
	check(err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "Uid") || strings.HasPrefix(line, "Gid") || strings.HasPrefix(line, "Cap") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// someCaps are the capabilities that joining a mount namespace requires.
const someCaps = "cap_sys_admin,cap_sys_ptrace,cap_sys_chroot=ep"

// elevations are ways for a program to have other rights than the user who started it, with the resulting effective IDs.
var elevations = map[string]struct {
	role, caps string
	mode       uint32
	uid, gid   int // owner of the file
	start      int // UID and GID that start it
	wantUID    string
	wantGID    string
	capable    bool
}{
	"set-user-ID root":               {role: "rights", mode: 0o4755, start: 1000, wantUID: "0", wantGID: "1000", capable: true},
	"set-ID root":                    {role: "rights", mode: 0o6755, start: 1000, wantUID: "0", wantGID: "0", capable: true},
	"set-user-ID":                    {role: "rights", mode: 0o4755, uid: 500, gid: 501, start: 1000, wantUID: "500", wantGID: "1000"},
	"set-group-ID":                   {role: "rights", mode: 0o2755, uid: 500, gid: 501, start: 1000, wantUID: "1000", wantGID: "501"},
	"root's set-user-ID":             {role: "rights", mode: 0o4755, uid: 500, gid: 501, wantUID: "500", wantGID: "0"},
	"root's set-group-ID":            {role: "rights", mode: 0o2755, uid: 500, gid: 501, wantUID: "0", wantGID: "501", capable: true},
	"file capabilities":              {role: "rights", mode: 0o755, caps: someCaps, start: 1000, wantUID: "1000", wantGID: "1000", capable: true},
	"kept capabilities":              {role: "keeper", mode: 0o755, wantUID: "1234", wantGID: "0", capable: true},
	"demoted":                        {role: "demoted", mode: 0o755, wantUID: "1234", wantGID: "1234"},
	"demoted set-user-ID":            {role: "demoted", mode: 0o4755, wantUID: "1234", wantGID: "1234"},
	"demoted with file capabilities": {role: "demoted", mode: 0o755, caps: someCaps, wantUID: "1234", wantGID: "1234"},
}

// A worker has the rights of its caller, and its bootstrap runs, wherever these rights come from.
func TestWorkerHasTheRightsOfItsCaller(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWUTS | species.CLONE_NEWNS)})
	for name, e := range elevations {
		program := copyOf(t, testBinary(t), 0o755)
		require.NoError(t, os.Chown(program, e.uid, e.gid))
		require.NoError(t, unix.Chmod(program, e.mode))
		if e.caps != "" {
			testutil.NeedCommand(t, "setcap")
			output, err := exec.Command("setcap", e.caps, program).CombinedOutput()
			require.NoError(t, err, "%s", output)
		}
		r := request{Handler: "status", Pid: target.PID, Types: species.Set(species.CLONE_NEWUTS | species.CLONE_NEWNS)}
		if !e.capable {
			r.Pid = ourselves
		}
		start := func(args ...string) *exec.Cmd {
			cmd := role(t, e.role, args...)
			cmd.Path, cmd.Dir = program, "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(e.start), Gid: uint32(e.start)}}
			return cmd
		}
		out := run(t, start(r.json(), "spawn"))
		require.Empty(t, out.Stderr, name)
		status := statusOf(t, parseOutcome(t, out.Stdout))
		require.Equal(t, strings.Repeat(e.wantUID+" ", 3)+e.wantUID, status["Uid"][0], name)
		require.Equal(t, strings.Repeat(e.wantGID+" ", 3)+e.wantGID, status["Gid"][0], name)
		require.Equal(t, []string{noCaps, noCaps}, []string{status["CapInh"][0], status["CapAmb"][0]}, name)
		require.Equal(t, e.capable, status["CapEff"][0] != noCaps, "%s: %s", name, status["CapEff"][0])
		r.Handler, r.Arg = "print", "ran inside"
		out = run(t, start(r.json(), "switch"))
		require.Equal(t, result{Stdout: "ran inside\n", Stderr: "stderr: ran inside\n"}, out, name)
	}
}

// If the rights of the calling thread cannot be restored, the started worker must be killed.
func TestThreadThatCannotBeRestoredLeavesNoWorker(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	out := run(t, role(t, "torn", request{Handler: "sleep", Arg: time.Minute, Pid: ourselves}.json()))
	require.Empty(t, out.Stderr)
	o := parseOutcome(t, out.Stdout)
	require.Equal(t, call.StageSpawn, o.Stage, o.Failure)
	require.Contains(t, o.Failure, "restore the thread's credentials")
}

func parseOutcome(t testing.TB, text string) (o outcome) {
	t.Helper()
	require.NoError(t, unmarshal([]byte(text), &o), text)
	return o
}
