package sys_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// olderKernels runs a test with the kernel's own features, and without those that came later.
func olderKernels(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("as it is", test)
	t.Run("before 6.11", func(t *testing.T) {
		t.Cleanup(sys.Pretend(sys.PidfdNamespaces))
		test(t)
	})
	t.Run("before 6.9", func(t *testing.T) {
		for _, f := range []sys.Feature{sys.PidfdNamespaces, sys.PidfdThread, sys.PidfdInode, sys.PidfdInfo} {
			t.Cleanup(sys.Pretend(f))
		}
		test(t)
	})
}

// idOf returns the ID of a process's namespace as the links of one of its threads have it.
func idOf(t *testing.T, task string, of species.NamespaceType) species.NamespaceID {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Stat(task+"/ns/"+of.Name(), &st))
	return species.NamespaceID{Dev: st.Dev, Ino: st.Ino}
}

// livingTask returns the directory of a thread that is not the first.
func livingTask(t *testing.T, pid int) string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")
	require.NoError(t, err)
	require.Greater(t, len(tasks), 1)
	for _, task := range tasks {
		if filepath.Base(task) != strconv.Itoa(pid) {
			return task
		}
	}
	return ""
}

func TestProcessWithoutItsFirstThread(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartLeaderless(t, species.CLONE_NEWUTS|species.CLONE_NEWNET|species.CLONE_NEWPID)
	task := livingTask(t, target.PID)
	olderKernels(t, func(t *testing.T) {
		testutil.CheckLeaks(t)
		p, err := sys.OpenProcess(target.PID)
		require.NoError(t, err)
		defer func() { _ = p.Close() }()
		require.True(t, p.Alive())
		for _, of := range []species.NamespaceType{species.CLONE_NEWUTS, species.CLONE_NEWNET, species.CLONE_NEWUSER, species.CLONE_NEWPID} {
			id, err := p.NamespaceID(of)
			require.NoError(t, err, of)
			require.Equal(t, idOf(t, task, of), id, of)
		}
		root, err := p.OpenRoot()
		require.NoError(t, err)
		require.NoError(t, root.Close())

		before, err := p.Identity()
		require.NoError(t, err)
		again, err := sys.OpenProcess(target.PID)
		require.NoError(t, err)
		same, err := again.Identity()
		require.NoError(t, err)
		require.Equal(t, before, same)
		living, err := again.Living()
		require.NoError(t, err)
		defer func() { _ = living.Close() }()
		require.NotSame(t, again, living)
		require.Equal(t, -1, again.Int(), "it is closed")
		require.True(t, living.Alive())
		if living.IsJoinable() {
			require.NoError(t, onOwnThread(func() error { return sys.Setns(living.Int(), unix.CLONE_NEWUTS|unix.CLONE_NEWNET) }))
		}
		id, err := living.NamespaceID(species.CLONE_NEWNET)
		require.NoError(t, err)
		require.Equal(t, idOf(t, task, species.CLONE_NEWNET), id)
	})
	p, err := sys.OpenProcess(target.PID)
	require.NoError(t, err)
	defer func() { _ = p.Close() }()
	target.Stop()
	_, err = p.OpenNamespace(species.CLONE_NEWNET)
	require.ErrorIs(t, err, unix.ESRCH)
	same, err := p.Living()
	require.ErrorIs(t, err, unix.ESRCH)
	require.Same(t, p, same)
}

func TestThreadByItsNumber(t *testing.T) {
	testutil.CheckLeaks(t)
	testutil.NeedRoot(t)
	tid, end := threadInUTS(t)
	olderKernels(t, func(t *testing.T) {
		p, err := sys.OpenProcess(tid)
		require.NoError(t, err)
		defer func() { _ = p.Close() }()
		id, err := p.NamespaceID(species.CLONE_NEWUTS)
		require.NoError(t, err)
		require.Equal(t, idOf(t, "/proc/self/task/"+strconv.Itoa(tid), species.CLONE_NEWUTS), id)
		require.NotEqual(t, idOf(t, "/proc/self", species.CLONE_NEWUTS), id)
		one, err := p.Identity()
		require.NoError(t, err)
		require.NotZero(t, one)
		same, err := p.Living()
		require.NoError(t, err)
		require.Same(t, p, same)
		if p.IsJoinable() {
			require.NoError(t, onOwnThread(func() error { return sys.Setns(p.Int(), unix.CLONE_NEWUTS) }))
		} else {
			require.Equal(t, -1, p.Int())
		}
	})
	by := map[string]*sys.Process{}
	olderKernels(t, func(t *testing.T) {
		p, err := sys.OpenProcess(tid)
		require.NoError(t, err)
		by[t.Name()] = p
	})
	end()
	for name, p := range by {
		require.Eventually(t, func() bool { return !p.Alive() }, 5e9, 1e6, name)
		_, err := p.OpenNamespace(species.CLONE_NEWUTS)
		require.ErrorIs(t, err, unix.ESRCH, name)
		require.NoError(t, p.Close())
	}
}

// onOwnThread runs f on a thread that ends with it.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if sys.OnMainThread() {
			done <- onOwnThread(f)
			return
		}
		done <- f()
	}()
	return <-done
}

// threadInUTS returns the number of a thread of ours in a UTS namespace of its own.
func threadInUTS(t *testing.T) (tid int, end func()) {
	t.Helper()
	id, done := make(chan int), make(chan struct{})
	go func() {
		_ = onOwnThread(func() error {
			err := unix.Unshare(unix.CLONE_NEWUTS)
			id <- unix.Gettid()
			<-done
			return err
		})
	}()
	tid = <-id
	require.NotEqual(t, os.Getpid(), tid)
	return tid, func() { close(done) }
}
