package call_test

import (
	"fmt"
	"maps"
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

func requireAllJoined(t testing.TB, target *testutil.Target) {
	t.Helper()
	v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(allTypes))
	require.Equal(t, links(t, target, allTypes), v.Namespaces)
	require.Less(t, v.PID, 1000, "a PID of that namespace")
	require.Zero(t, v.PPID, "the caller is outside of it")
	require.Equal(t, []int{0, 0}, []int{v.UID, v.GID})
	require.Equal(t, "/", v.Dir)
	require.Equal(t, "nsops-target", v.Host)
}

func TestAllEightTypesInOneCall(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, base := range []int{0, 100000} {
		requireAllJoined(t, startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: base}))
		requireAllJoined(t, startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: base, OwnRoot: true}))
	}
}

func TestEachTypeAlone(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(allButUser)})
	theirs, own := links(t, target, allTypes), spawn[view](t, ours("look")).Namespaces
	for ns := range species.Set(allButUser).All() {
		want := maps.Clone(own)
		want[ns.Name()] = theirs[ns.Name()]
		v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(ns))
		require.Equal(t, want, v.Namespaces, ns)
	}
}

func TestOnlyTheUserNamespace(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWUSER), UserBase: 100000})
	v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(species.CLONE_NEWUSER))
	require.Equal(t, links(t, target, allTypes), v.Namespaces)
	require.Zero(t, v.UID)
}

// Tests every combination of features that older kernels lack.
func TestFallbacksJoinAllTypes(t *testing.T) {
	testutil.CheckLeaks(t)
	features := []sys.Feature{sys.SetnsPidfd, sys.PidfdNamespaces, sys.PidfdThread, sys.PidfdInode}
	for _, base := range []int{0, 100000} {
		target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: base})
		for mask := range 1 << len(features) {
			if raced && mask != 0 && mask != 1<<len(features)-1 {
				continue
			}
			t.Run(fmt.Sprintf("%d %04b", base, mask), func(t *testing.T) {
				for i, feature := range features {
					if mask&(1<<i) != 0 {
						t.Cleanup(sys.Pretend(feature))
					}
				}
				requireAllJoined(t, target)
			})
		}
	}
}

func TestFallbackWithDropPrivsAndSys(t *testing.T) {
	defer sys.Pretend(sys.SetnsPidfd)()
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000, OwnRoot: true})
	v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(allTypes).DropPrivs().RemountSys())
	require.Equal(t, links(t, target, allTypes&^species.CLONE_NEWNS), only(v.Namespaces, allTypes&^species.CLONE_NEWNS))
	require.NotEqual(t, links(t, target, species.CLONE_NEWNS), only(v.Namespaces, species.CLONE_NEWNS), "one of its own")
	require.Equal(t, 65534, v.UID)
}

// A rootful container that got its network from the host's root: net, uts and ipc are owned by the initial user
// namespace, mnt by its own. A process that joins user first may not join net any more.
func TestNetOwnedByTheInitialUserNamespace(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := sleepingChild(t, cmd.Process.Pid)
	target := testutil.Attach(t, pid, nil)
	for _, pretend := range []bool{false, true} {
		if pretend {
			defer sys.Pretend(sys.SetnsPidfd)()
		}
		v := spawn[view](t, call.NewCall("look").TargetPid(pid).Namespaces(allTypes))
		require.Equal(t, links(t, target, allTypes), v.Namespaces)
	}
}

// cwd is "/" of the target, whatever its root is.
func TestWeirdRoots(t *testing.T) {
	for name, setup := range map[string]string{
		"overmounted": "mount -t tmpfs over /; mount -t proc proc /proc || true",
		"chroot":      "mkdir -p /run/x/bin /run/x/proc",
		"moved cwd":   "mkdir -p /run/x; cd /run/x; rmdir /run/x",
		"unmounted":   "mkdir -p /run/x; mount -t tmpfs none /run/x; cd /run/x; umount -l /run/x",
	} {
		target := startTarget(t, testutil.TargetOptions{OwnRoot: true, Setup: setup})
		v := spawn[view](t, call.NewCall("look").TargetPid(target.PID))
		require.Equal(t, "/", v.Dir, name)
		require.Equal(t, links(t, target, defaultTypes), only(v.Namespaces, defaultTypes), name)
	}
}
