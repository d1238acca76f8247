package call_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// zombie returns the PID of a child that has ended and is not waited for before the test is over.
func zombie(t testing.TB) int {
	t.Helper()
	cmd := exec.Command("true")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
	waitUntil(t, func() bool { return gone(cmd.Process.Pid) }, "it ends")
	return cmd.Process.Pid
}

// nobody returns a PID that no process has.
func nobody(t testing.TB) int {
	t.Helper()
	cmd := exec.Command("true")
	require.NoError(t, cmd.Run())
	return cmd.Process.Pid
}

// otherThread returns the ID of a thread of ours that is not the main one.
func otherThread() (tid int, end func()) {
	id, done := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if unix.Gettid() == unix.Getpid() {
			other, end := otherThread()
			id <- other
			<-done
			end()
			return
		}
		id <- unix.Gettid()
		<-done
		runtime.LockOSThread() // ends with the goroutine
	}()
	return <-id, func() { close(done) }
}

func TestImpossibleTargetsAreErrorsBeforeAnythingStarts(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	thread, end := otherThread()
	end()
	waitUntil(t, func() bool { return unix.Tgkill(os.Getpid(), thread, 0) != nil }, "it ends")
	for _, test := range []struct {
		what  string
		pid   int
		errno error
		text  string
	}{
		{"gone", nobody(t), unix.ESRCH, "no process has this PID"},
		{"zombie", zombie(t), unix.ESRCH, "zombie"},
		{"kernel thread", 2, unix.EINVAL, "kernel thread"},
		{"no PID", 0, unix.EINVAL, "positive"},
		{"negative", -1, unix.EINVAL, "positive"},
		{"very negative", math.MinInt, unix.EINVAL, "positive"},
		{"large", math.MaxInt32, unix.ESRCH, "no process has this PID"},
		{"too large", math.MaxInt, unix.ESRCH, ""},
		{"wraps to ours", int(min(int64(os.Getpid())+1<<32, math.MaxInt)), unix.ESRCH, ""},
		{"thread that has ended", thread, unix.ESRCH, "no process has this PID"},
	} {
		requireNothingStarted(t, func() {
			err := call.NewCall("nothing").TargetPid(test.pid).SpawnInNamespaces(nil)
			e := requireError(t, err, call.StageTarget)
			require.Equal(t, "nothing", e.Handler)
			require.ErrorContains(t, err, test.text, test.what)
			require.ErrorIs(t, err, test.errno, "%s: %v", test.what, err)
			require.Error(t, call.NewCall("nothing").TargetPid(test.pid).SwitchToNamespaces(), test.what)
		})
	}
}

func TestUnknownHandlerIsAnErrorBeforeAnythingStarts(t *testing.T) {
	needBootstrap(t)
	requireNothingStarted(t, func() {
		for _, name := range []string{"unheard of", "", "look\x00"} {
			err := call.NewCall(name).TargetPid(os.Getpid()).SpawnInNamespaces(nil)
			require.ErrorIs(t, requireError(t, err, call.StageSpawn), call.ErrNotRegistered)
			require.ErrorIs(t, call.NewCall(name).TargetPid(os.Getpid()).SwitchToNamespaces(), call.ErrNotRegistered)
		}
	})
}

func TestFirstErrorOfTheBuilderIsReturned(t *testing.T) {
	needBootstrap(t)
	requireNothingStarted(t, func() {
		err := call.NewCall("nothing").Namespaces(species.CLONE_NEWNET, 0x4000).TargetPid(-3).SpawnInNamespaces(nil)
		require.ErrorContains(t, requireError(t, err, call.StageTarget), "not a type of namespace")
		err = call.NewCall("nothing").TargetPid(-3).Namespaces(species.NaNS).SpawnInNamespaces(nil)
		require.ErrorContains(t, requireError(t, err, call.StageTarget), "process -3")
	})
}

func TestEveryErrorIsAnError(t *testing.T) {
	needBootstrap(t)
	for _, c := range []*call.Call{
		call.NewCall(""), call.NewCall("nothing").TargetPid(0), call.NewCall("nothing").Namespaces(1), call.NewCall("nothing").TargetPid(os.Getpid()).Env("A\x00B"),
		ours("die").Arg("panic"), ours("die").Arg("exit 3"), ours("die").Arg("goexit"), ours("errors").Arg("empty"),
		ours("echo").Arg(1), ours("echo").Arg(make(chan int)), ours("echo").Arg("too long").MaxResult(1),
	} {
		var e *call.Error
		err := c.SpawnInNamespaces(nil)
		require.ErrorAs(t, err, &e)
		require.Same(t, e, err)
		require.NotContains(t, err.Error(), "failed to")
	}
}

func TestDeadInitOfThePIDNamespace(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	c := call.NewCall("nothing").TargetPid(target.PID).Namespaces(species.CLONE_NEWPID)
	target.Stop()
	requireNothingStarted(t, func() {
		err := c.SpawnInNamespaces(nil)
		require.ErrorIs(t, requireError(t, err, call.StageTarget), unix.ESRCH)
	})
}

// Makes calls without namespaces to join, or with a target that shares all of them.
func TestNoNamespacesAtAll(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces())
	require.NotEqual(t, "nsops-target", v.Host)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := sys.ThreadNamespaceID(species.CLONE_NEWNET)
	require.NoError(t, err)
	require.Equal(t, id.Ino, v.Namespaces["net"])
}

// The first thread of a process may end before the others; it has no namespaces then.
func TestTargetWithoutItsFirstThread(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	target := testutil.StartLeaderless(t, allTypes&^species.CLONE_NEWUSER&^species.CLONE_NEWTIME)
	tasks, err := os.ReadDir(target.ProcDir() + "/task")
	require.NoError(t, err)
	thread, err := strconv.Atoi(tasks[len(tasks)-1].Name())
	require.NoError(t, err)
	require.NotEqual(t, target.PID, thread)
	want, err := os.Readlink(target.ProcDir() + "/task/" + tasks[len(tasks)-1].Name() + "/ns/net")
	require.NoError(t, err)
	id, _ := species.IDwithType(want)
	withAndWithoutPidfds(t, func(name string) {
		for _, pid := range []int{target.PID, thread} {
			v := spawn[view](t, call.NewCall("look").TargetPid(pid).Namespaces(allButUser))
			require.Equal(t, id.Ino, v.Namespaces["net"], name)
			require.Less(t, v.PID, 100, name)
		}
	})
	r := request{Handler: "print", Arg: "inside", Pid: target.PID, Types: defaultSet}
	require.Equal(t, "inside\n", run(t, role(t, "switcher", r.json())).Stdout)
}

// A thread may be in other namespaces than the rest of its process.
func TestTargetThatIsAThread(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	onNewThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
			t.Error(err)
		}
		link, err := os.Readlink("/proc/thread-self/ns/uts")
		require.NoError(t, err)
		id, _ := species.IDwithType(link)
		tid := unix.Gettid()
		withAndWithoutPidfds(t, func(name string) {
			onNewThread(func() {
				v := spawn[view](t, call.NewCall("look").TargetPid(tid))
				require.Equal(t, id.Ino, v.Namespaces["uts"], name)
			})
		})
	})
}

// withAndWithoutPidfds runs a test with the kernel's features, then without those of newer kernels.
func withAndWithoutPidfds(t *testing.T, test func(name string)) {
	t.Helper()
	test("as it is")
	for _, feature := range []sys.Feature{sys.PidfdNamespaces, sys.PidfdThread, sys.PidfdInode, sys.SetnsPidfd} {
		defer sys.Pretend(feature)()
		test(fmt.Sprint("without feature ", feature))
	}
}
