package call_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	// "status" returns the fields of /proc/self/task/*/status, each with the values of all threads.
	call.RegisterReexec("status", func(any) (any, error) {
		files, err := filepath.Glob("/proc/self/task/*/status")
		all := map[string][]string{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(text)) {
				name, value, _ := strings.Cut(line, ":")
				all[name] = append(all[name], strings.Join(strings.Fields(value), " "))
			}
		}
		return all, err
	}, nil)
	// "gain" executes a set-user-ID program and returns the UIDs that it gets.
	call.RegisterReexec("gain", func(arg any) (any, error) {
		text, err := exec.Command(*arg.(*string), "/proc/self/status").Output()
		return string(text), err
	}, "")
}

const noCaps = "0000000000000000"

func requireUnprivileged(t testing.TB, status map[string][]string, id string) {
	t.Helper()
	require.GreaterOrEqual(t, len(status["Uid"]), 2, "threads")
	want := map[string]string{
		"Uid": id, "Gid": id, "Groups": "", "NoNewPrivs": "1",
		"CapInh": noCaps, "CapPrm": noCaps, "CapEff": noCaps, "CapBnd": noCaps, "CapAmb": noCaps,
	}
	for name, value := range want {
		require.NotEmpty(t, status[name], name)
		for _, got := range status[name] {
			require.Equal(t, value, got, name)
		}
	}
}

func TestDropPrivsDropsEverything(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: defaultSet})
	cmd := role(t, "caller", request{Handler: "status", Pid: target.PID, DropPrivs: true}.json())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Groups: []uint32{0, 4, 27, 4242}},
		AmbientCaps: []uintptr{unix.CAP_NET_RAW, unix.CAP_CHOWN},
	}
	requireUnprivileged(t, statusOf(t, callIn(t, cmd)), "65534 65534 65534 65534")
}

func statusOf(t testing.TB, o outcome) (status map[string][]string) {
	t.Helper()
	require.Empty(t, o.Failure)
	require.NoError(t, unmarshal(o.Result, &status))
	return status
}

func TestDropPrivsInAUserNamespace(t *testing.T) {
	for _, base := range []int{0, 100000} {
		target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: base})
		status := spawn[map[string][]string](t, call.NewCall("status").TargetPid(target.PID).Namespaces(allTypes).DropPrivs())
		requireUnprivileged(t, status, "65534 65534 65534 65534")
	}
}

// An ordinary user with ambient capabilities.
func TestDropPrivsTakesTheCallersRealUser(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: defaultSet})
	cmd := role(t, "caller", request{Handler: "status", Pid: target.PID, DropPrivs: true}.json())
	cmd.Path = copyOf(t, testBinary(t), 0o755)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: 1234, Gid: 2345, Groups: []uint32{4}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP,
			unix.CAP_SYS_CHROOT},
	}
	status := statusOf(t, callIn(t, cmd))
	require.Equal(t, "1234 1234 1234 1234", status["Uid"][0])
	require.Equal(t, "2345 2345 2345 2345", status["Gid"][0])
	require.Empty(t, status["Groups"][0])
	require.Equal(t, noCaps, status["CapPrm"][0])
}

// If the worker's real and effective IDs differed, it would start as a set-user-ID program, whose bootstrap does
// nothing.
func TestSetUserIDProgramCanCall(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: defaultSet})
	o := callIn(t, role(t, "real user", request{Handler: "status", Pid: target.PID, DropPrivs: true}.json(), "1234", "2345"))
	status := statusOf(t, o)
	require.Equal(t, "1234 1234 1234 1234", status["Uid"][0])
	require.Equal(t, "2345 2345 2345 2345", status["Gid"][0])
}

func init() {
	// As in a set-user-ID program: another real user, the effective one is root.
	roles["real user"] = func(args []string) {
		call.HandleReexec()
		var uid, gid int
		_, err := fmt.Sscan(args[1]+" "+args[2], &uid, &gid)
		check(err)
		check(syscall.Setresgid(gid, 0, 0))
		check(syscall.Setresuid(uid, 0, 0))
		spawnAndPrint(parseRequest(args[0]))
	}
}

func TestDropPrivsFailsClosed(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, missing := range []string{"cap_setgid", "cap_setuid", "cap_setpcap"} {
		testutil.NeedCommand(t, "setpriv")
		c := role(t, "caller", request{Handler: "nothing", Pid: target.PID, DropPrivs: true}.json())
		cmd := exec.Command("setpriv", append([]string{"--bounding-set=-" + missing[4:], "--inh-caps=-" + missing[4:], "/proc/self/exe"}, c.Args[1:]...)...)
		cmd.Args[3], cmd.Env = testBinary(t), c.Env
		o := callIn(t, cmd)
		require.Equal(t, call.StagePrivileges, o.Stage, "%s: %s", missing, o.Failure)
		require.Contains(t, o.Failure, "operation not permitted")
	}
}

func TestWithoutDropPrivsNoCapabilityIsHandedOn(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	for _, types := range []species.Set{defaultSet | species.Set(species.CLONE_NEWPID), allSet} {
		cmd := role(t, "caller", request{Handler: "status", Pid: target.PID, Types: types}.json())
		cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: []uintptr{unix.CAP_NET_RAW}}
		status := statusOf(t, callIn(t, cmd))
		for i := range status["CapInh"] {
			require.Equal(t, []string{noCaps, noCaps}, []string{status["CapInh"][i], status["CapAmb"][i]})
			require.NotEqual(t, noCaps, status["CapEff"][i])
		}
	}
}

func TestGroupsAreGoneInAUserNamespace(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	cmd := role(t, "caller", request{Handler: "status", Pid: target.PID, Types: allSet}.json())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{4, 100001}}}
	for _, groups := range statusOf(t, callIn(t, cmd))["Groups"] {
		require.Empty(t, groups)
	}
}

func TestDropPrivsCannotBeUndone(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: defaultSet})
	testutil.NeedCommand(t, "cat")
	cat, err := exec.LookPath("cat")
	require.NoError(t, err)
	program := copyOf(t, cat, 0o4755)
	status := spawn[string](t, call.NewCall("gain").Arg(program).TargetPid(target.PID).DropPrivs())
	require.Contains(t, status, "Uid:\t65534\t65534\t65534\t65534\n")
	status = spawn[string](t, call.NewCall("gain").Arg(program).TargetPid(target.PID))
	require.Contains(t, status, "Uid:\t0\t0\t0\t0\n")
}
