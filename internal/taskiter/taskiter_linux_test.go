package taskiter_test

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestMain(m *testing.M) { os.Exit(testutil.Run(m)) }

func read(t *testing.T, unix bool) *taskiter.Snapshot {
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 18)
	s, err := taskiter.Read(unix)
	require.NoError(t, err)
	return s
}

// find returns the thread with that TID.
func find(t *testing.T, s *taskiter.Snapshot, tid int) *taskiter.Task {
	for i := range s.Len() {
		var task taskiter.Task
		if s.Task(i, &task) && task.TID == tid {
			return &task
		}
	}
	require.Fail(t, "not found", "%d", tid)
	return nil
}

func TestTaskIsLikeProc(t *testing.T) {
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	s := read(t, false)
	for _, pid := range []int{target.PID, os.Getpid(), os.Getppid()} {
		task := find(t, s, pid)
		dir := "/proc/" + strconv.Itoa(pid)
		text, err := os.ReadFile(dir + "/stat")
		require.NoError(t, err)
		stat, ok := procfs.ParseStat(text)
		require.True(t, ok)
		text, err = os.ReadFile(dir + "/status")
		require.NoError(t, err)
		status, ok := procfs.ParseStatus(text, nil)
		require.True(t, ok)
		require.Equal(t, pid, task.TGID)
		require.Equal(t, stat.PPID, task.Parent)
		require.Equal(t, string(stat.Name), string(task.Name))
		require.Equal(t, stat.Start, task.Start/10_000_000)
		require.Equal(t, stat.KernelThread, task.Kernel)
		require.Contains(t, "RS", string(task.State))
		require.EqualValues(t, status.UID, task.UID)
		require.EqualValues(t, status.GID, task.GID)
		require.Equal(t, status.PIDs, task.Numbers[task.Level:])
		i := 0
		for kind := range species.Set(species.AllNS).All() {
			link, err := os.Readlink(dir + "/ns/" + kind.Name())
			require.NoError(t, err)
			id, _ := species.IDwithType(link)
			require.EqualValues(t, id.Ino, task.Links[i].Inode, "%v", kind)
			handle := raw.Handle{Serial: task.Links[i].Serial, Type: kind, Inode: task.Links[i].Inode}
			fd, err := sys.Own(sys.OpenHandle(handle))
			require.NoError(t, err, "%v", kind)
			require.NoError(t, fd.Close())
			i++
		}
		require.Equal(t, task.Links[5].Serial, task.Links[taskiter.PIDForChildren].Serial)
		require.Equal(t, task.Links[7].Serial, task.Links[taskiter.TimeForChildren].Serial)
	}
}

// discarded runs f on a thread that is not the main one and ends with it.
func discarded(gone chan struct{}, f func()) {
	defer close(gone)
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		there := make(chan struct{})
		go discarded(there, f)
		<-there
		runtime.UnlockOSThread()
		return
	}
	f()
}

func TestThreads(t *testing.T) {
	testutil.NeedRoot(t)
	tid, end, gone := make(chan int), make(chan struct{}), make(chan struct{})
	go discarded(gone, func() {
		if unix.Unshare(unix.CLONE_NEWUTS) == nil {
			tid <- unix.Gettid()
		}
		<-end
	})
	number := <-tid
	s := read(t, false)
	stray, process := find(t, s, number), find(t, s, os.Getpid())
	require.Equal(t, os.Getpid(), stray.TGID)
	require.NotEqual(t, process.Links[2], stray.Links[2])
	require.Equal(t, process.Links[6], stray.Links[6])
	require.Greater(t, process.Threads, 1)
	close(end)
	<-gone
}

func TestFiles(t *testing.T) {
	testutil.NeedRoot(t)
	held, err := os.Open("/proc/self/ns/uts")
	require.NoError(t, err)
	defer func() { _ = held.Close() }()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	kinds := func(s *taskiter.Snapshot) map[int]taskiter.FileKind {
		found := map[int]taskiter.FileKind{}
		s.Files(func(f taskiter.File) {
			if f.TID != os.Getpid() {
				return
			}
			found[f.FD] = f.Kind
			if f.Kind == taskiter.Held && f.FD == int(held.Fd()) {
				require.Equal(t, species.CLONE_NEWUTS, f.Type)
				var st unix.Stat_t
				require.NoError(t, unix.Fstat(f.FD, &st))
				require.EqualValues(t, st.Ino, f.Namespace.Inode)
			}
		})
		return found
	}
	found := kinds(read(t, false))
	require.Equal(t, taskiter.Held, found[int(held.Fd())])
	require.Zero(t, found[pair[0]], "it is in our own network namespace")
	require.Equal(t, taskiter.Socket, kinds(read(t, true))[pair[0]])
}

func TestStates(t *testing.T) {
	s := read(t, false)
	var states []byte
	for i := range s.Len() {
		var task taskiter.Task
		if s.Task(i, &task) && task.Kernel {
			states = append(states, task.State)
		}
	}
	slices.Sort(states)
	require.Contains(t, string(states), "I", "idle kernel threads")
	require.Empty(t, strings.Trim(string(states), "RSDTtXZPI"))
}

func TestWithoutRights(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		_, err := taskiter.Read(false)
		require.Error(t, err)
	})
	restore := sys.Pretend(sys.TaskIterators)
	defer restore()
	_, err := taskiter.Read(false)
	require.Error(t, err)
}

func TestConcurrentReads(t *testing.T) {
	testutil.CheckLeaks(t)
	const readers = 8
	failed := make(chan error, readers)
	for range readers {
		go func() {
			s, err := taskiter.Read(false)
			if err == nil && s.Len() == 0 {
				err = errors.New("no thread")
			}
			failed <- err
		}()
	}
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 18)
	for range readers {
		require.NoError(t, <-failed)
	}
}
