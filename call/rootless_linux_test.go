package call_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// An unprivileged user may join the user namespace of their own container, and with it the others.
func TestUserJoinsItsOwnContainer(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	program := copyOf(t, testBinary(t), 0o755)
	user := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234, Groups: []uint32{4}}}
	container := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--net", "--uts", "--ipc", "--pid", "--cgroup",
		"--fork", "--kill-child", "--mount-proc", "sleep", "1000")
	container.SysProcAttr = user
	require.NoError(t, container.Start())
	t.Cleanup(func() { _ = container.Process.Kill(); _ = container.Wait() })
	pid := sleepingChild(t, container.Process.Pid)
	theirs := links(t, testutil.Attach(t, pid, nil), allTypes)
	for _, fallback := range []string{"caller", "caller without features"} {
		cmd := role(t, fallback, request{Handler: "look", Pid: pid, Types: allSet}.json())
		cmd.Path, cmd.SysProcAttr = program, user
		o := callIn(t, cmd)
		require.Empty(t, o.Failure)
		var v view
		require.NoError(t, unmarshal(o.Result, &v))
		require.Equal(t, theirs, v.Namespaces)
		require.Equal(t, []int{0, 0}, []int{v.UID, v.GID})
		require.Less(t, v.PID, 100)
	}
	for types, stage := range map[species.Set]call.Stage{defaultSet: call.StageJoin, species.Set(species.CLONE_NEWNET): call.StageJoin} {
		cmd := role(t, "caller", request{Handler: "look", Pid: pid, Types: types}.json())
		cmd.Path, cmd.SysProcAttr = program, user
		o := callIn(t, cmd)
		require.Equal(t, stage, o.Stage, o.Failure)
		require.Contains(t, o.Failure, "must its user namespace be joined, too? CAP_SYS_ADMIN is lacking")
	}
	cmd := role(t, "caller", request{Handler: "nothing", Pid: pid, Types: allSet, DropPrivs: true}.json())
	cmd.Path, cmd.SysProcAttr = program, user
	o := callIn(t, cmd)
	require.Equal(t, call.StagePrivileges, o.Stage, "groups cannot be dropped there: %s", o.Failure)
}

func init() {
	roles["caller without features"] = func(args []string) {
		for _, feature := range []sys.Feature{sys.SetnsPidfd, sys.PidfdNamespaces, sys.PidfdThread, sys.PidfdInode} {
			sys.Pretend(feature)
		}
		call.HandleReexec()
		spawnAndPrint(parseRequest(args[0]))
	}
}

// sleepingChild returns the PID of the process that sleeps as the child of another.
func sleepingChild(t testing.TB, parent int) (pid int) {
	t.Helper()
	waitUntil(t, func() bool {
		pid = childOf(t, parent)
		return name(pid) == "sleep"
	}, "it sleeps")
	return pid
}

func TestCallsOfRootInAUserNamespace(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		needBootstrap(t)
		testutil.CheckLeaks(t)
		target := testutil.StartTarget(t, testutil.TargetOptions{Types: testutil.DefaultTypes.With(species.CLONE_NEWUSER)})
		v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(allTypes))
		require.Equal(t, links(t, target, allTypes), v.Namespaces)
		v = spawn[view](t, call.NewCall("look").TargetPid(target.PID))
		require.Equal(t, links(t, target, defaultTypes), only(v.Namespaces, defaultTypes))
		require.Equal(t, os.Getuid(), v.UID)
	})
}

func TestPrivilegesOfAnOrdinaryUserWithoutTarget(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	cmd := role(t, "caller", request{Handler: "look", Pid: os.Getpid()}.json())
	cmd.Path = copyOf(t, testBinary(t), 0o755)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}}
	o := callIn(t, cmd)
	require.Equal(t, call.StageTarget, o.Stage)
	require.Contains(t, o.Failure, unix.EACCES.Error())
}
