package discover_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// stuckMarker says that this program is part of a test here, and which one. "serve" is the server of hungFile, in a process
// that does not wait for anybody: what waits for it, waits no more once it has ended.
const stuckMarker = "NSOPS_TEST_STUCK"

func playStuck(how string) {
	if how == "serve" {
		answerFUSE(3, unix.S_IFREG|0o644, nil)
		os.Exit(0)
	}
	beStuck(how)
}

func mustNot(err error) {
	if err != nil {
		panic(err)
	}
}

// hungFile returns a file that can be opened, mapped and closed, but never be read. After a call of hang nothing is answered.
func hungFile(t *testing.T) (file *os.File, hang func()) {
	t.Helper()
	point := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(point, nil, 0o600))
	self, err := os.Executable()
	require.NoError(t, err)
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err != nil {
			testutil.Skip(t, "needs /dev/fuse: "+err.Error())
		}
		options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other", server.Fd(), unix.S_IFREG)
		require.NoError(t, unix.Mount("hung", point, "fuse", 0, options))
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), stuckMarker+"=serve")
		cmd.ExtraFiles = []*os.File{server}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} // of this thread, which the test ends
		require.NoError(t, cmd.Start())
		require.NoError(t, server.Close())
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		hang = func() { require.NoError(t, cmd.Process.Signal(unix.SIGSTOP)) }
		fd, err := unix.Open(point, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		require.NoError(t, unix.Fstat(fd, &unix.Stat_t{}), "it asks for the size")
		file = os.NewFile(uintptr(fd), "hung")
	})
	return file, hang
}

// beStuck is the process that others get stuck at, in one of these manners:
//
//	lock  a thread waits for a page with the lock of its memory, and another one wants to change that
//	exec  it executes a program, which closes such a file, with the lock of its credentials
//	list  a thread lists a directory of /proc into such a page, and another one wants to change that
func beStuck(how string) {
	const size = 4096
	mapAt := func(at uintptr, flags int) uintptr {
		page, err := unix.MmapPtr(3, 0, unsafe.Add(nil, at), size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|flags)
		if err != nil {
			panic(err)
		}
		return uintptr(page)
	}
	dir := ""
	if at := strings.IndexByte(how, ':'); at >= 0 {
		how, dir = how[:at], "/proc/self"+how[at+1:]
	}
	switch how {
	case "lock":
		page := mapAt(0, 0)
		memory, err := unix.Open("/proc/self/mem", unix.O_RDONLY, 0)
		mustNot(err)
		fmt.Println("ready")
		go func() { _, _ = unix.Pread(memory, make([]byte, 8), int64(page)) }()
		time.Sleep(100 * time.Millisecond)
		_, _ = unix.Mmap(-1, 0, size, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	case "exec":
		unix.CloseOnExec(3)
		fmt.Println("ready")
		time.Sleep(100 * time.Millisecond)
		_ = unix.Exec("/bin/sleep", []string{"sleep", "60"}, nil)
	case "list":
		page := mapAt(0, 0)
		list, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		mustNot(err)
		fmt.Println("ready")
		go func() { _, _, _ = unix.Syscall(unix.SYS_GETDENTS64, uintptr(list), page, size) }()
		time.Sleep(100 * time.Millisecond)
		go func() { _, _ = unix.Open(dir+"/none", unix.O_CREAT|unix.O_RDWR, 0o600) }()
	}
	select {}
}

// stuckProcess starts one; it is in a network namespace of its own, and has a descriptor of one more.
func stuckProcess(t *testing.T, how string, also ...*os.File) (pid int) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	runtime.LockOSThread() // which the process does not outlive
	t.Cleanup(func() {
		_ = cmd.Wait()
		runtime.UnlockOSThread()
	})
	file, hang := hungFile(t)
	cmd.Env = append(os.Environ(), stuckMarker+"="+how)
	cmd.ExtraFiles = append([]*os.File{file}, also...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, file.Close())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it ends once the server has
	said := make([]byte, 200)
	n, err := out.Read(said)
	require.NoError(t, err)
	require.Equal(t, "ready\n", string(said[:n]))
	hang()
	time.Sleep(300 * time.Millisecond)
	return cmd.Process.Pid
}

// TestStuckAtAProcess discovers beside processes that nobody may read.
func TestStuckAtAProcess(t *testing.T) {
	testutil.NeedRoot(t)
	for how, sources := range map[string]discover.Sources{
		"lock":       discover.Details,
		"list:/fd":   discover.FDs,
		"list:/task": discover.Tasks,
	} {
		for _, snapshot := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s snapshot=%v", how, snapshot), func(t *testing.T) {
				if !snapshot {
					t.Cleanup(sys.Pretend(sys.TaskIterators))
				}
				pid := stuckProcess(t, how)
				for range 3 {
					_, _ = discover.Discover(t.Context(), discover.Options{Patience: 50 * time.Millisecond})
				}
				before := runtime.NumGoroutine()
				for range 10 {
					start := time.Now()
					r, err := discover.Discover(t.Context(), discover.Options{Patience: 50 * time.Millisecond})
					require.NoError(t, err)
					require.Less(t, time.Since(start), patience)
					p := r.Process(pid)
					require.NotNil(t, p)
					require.NotNil(t, p.Namespaces.Of(species.CLONE_NEWNET))
					if !snapshot || sources == discover.Details {
						require.Contains(t, r.Problems, discover.Problem{Source: sources, PID: pid, Errno: unix.ETIMEDOUT})
					}
					require.NotEmpty(t, r.Process(os.Getpid()).Cmdline, "the rest")
				}
				require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, patience, 10*time.Millisecond,
					"each that waits has a thread")
			})
		}
	}
}

// TestContextEndsBeforeAStuckCall has a context that ends between two calls, just before one that does not return. It is given
// up nevertheless, and so later discoveries do not make it again: they leave nothing behind.
func TestContextEndsBeforeAStuckCall(t *testing.T) {
	testutil.NeedRoot(t)
	options := discover.Options{NoSnapshot: true, Patience: 50 * time.Millisecond, Sources: discover.Standard | discover.Details}
	_, err := discover.Discover(t.Context(), options) // opens what is kept
	require.NoError(t, err)
	pid := stuckProcess(t, "lock")
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	before := 0 // processes that are looked at before that one
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n < pid {
			before++
		}
	}
	open := func() int {
		names, _ := os.ReadDir("/proc/self/fd")
		return len(names)
	}
	fds := open()
	for asked := range 8 {
		ctx := &endingContext{Context: t.Context(), done: make(chan struct{}), left: int32(before + asked)}
		start := time.Now()
		_, _ = discover.Discover(ctx, options)
		require.Less(t, time.Since(start), patience)
		time.Sleep(4 * options.Patience) // the call is given up
	}
	require.Eventually(t, func() bool { return open() <= fds+4 }, patience, 50*time.Millisecond, "those of one call that is stuck at most")
}

// TestSeveralStuckCalls has more calls that are stuck than one attempt can leave behind: the second one has several to give
// up, one after the other. Nothing that the program opens meanwhile is closed, and what is found is right.
func TestSeveralStuckCalls(t *testing.T) {
	testutil.NeedRoot(t)
	for range 5 {
		stuckProcess(t, "lock")
	}
	for range 20 { // copies are made of these, and closed
		own, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		closeLater(t, own)
	}
	stop, lost := make(chan struct{}), make(chan int, 1)
	go func() { lost <- churnDescriptors(stop) }()
	for _, noSnapshot := range []bool{true, false} {
		r, err := discover.Discover(t.Context(), discover.Options{Patience: 60 * time.Millisecond, NoSnapshot: noSnapshot})
		require.NoError(t, err)
		require.NotEmpty(t, r.Process(os.Getpid()).Cmdline)
	}
	time.Sleep(500 * time.Millisecond)
	close(stop)
	require.Zero(t, <-lost, "descriptors of the program were closed")
}

// churnDescriptors opens and closes files, and returns how many were closed by somebody else.
func churnDescriptors(stop <-chan struct{}) (lost int) {
	for {
		var all []int
		for range 40 {
			if fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
				all = append(all, fd)
			}
		}
		time.Sleep(2 * time.Millisecond)
		for _, fd := range all {
			if unix.Close(fd) != nil {
				lost++
			}
		}
		select {
		case <-stop:
			return lost
		default:
		}
	}
}

// endingContext ends just after it was asked so often whether it has.
type endingContext struct {
	context.Context
	done chan struct{}
	left int32
}

func (c *endingContext) Done() <-chan struct{} { return c.done }

func (c *endingContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
	}
	if atomic.AddInt32(&c.left, -1) == 0 {
		close(c.done)
		time.Sleep(20 * time.Millisecond) // whoever asked goes on later
	}
	return nil
}

// TestStuckAtCredentials discovers beside a process that executes a program for ever. Neither its sockets nor, on some
// kernels, its statistics can be had.
func TestStuckAtCredentials(t *testing.T) {
	testutil.NeedRoot(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	closeLater(t, pair[0])
	socket := os.NewFile(uintptr(pair[1]), "socket")
	pid := stuckProcess(t, "exec", socket)
	require.NoError(t, socket.Close())
	for _, snapshot := range []bool{true, false} {
		if !snapshot {
			t.Cleanup(sys.Pretend(sys.TaskIterators))
		}
		for range 3 {
			start := time.Now()
			r, err := discover.Discover(t.Context(), discover.Options{Patience: 50 * time.Millisecond})
			require.NoError(t, err)
			require.Less(t, time.Since(start), patience)
			found := r.Process(pid) != nil
			said := slices.ContainsFunc(r.Problems, func(p discover.Problem) bool { return p.PID == pid && p.Errno == unix.ETIMEDOUT })
			require.True(t, found && snapshot || said, "%v", r.Problems)
		}
	}
}

// TestStuckAtAMessage has a descriptor in a unix socket that cannot be closed, nor asked what it is.
func TestStuckAtAMessage(t *testing.T) {
	testutil.NeedRoot(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	file, hang := hungFile(t)
	require.NoError(t, unix.Sendmsg(pair[0], []byte{1}, unix.UnixRights(int(file.Fd())), nil, 0))
	require.NoError(t, file.Close())
	hang()
	t.Cleanup(func() { // what waits in there is closed then, which nobody hangs at: it was closed before
		_, _ = unix.Close(pair[0]), unix.Close(pair[1])
	})
	for _, snapshot := range []bool{true, false} {
		if !snapshot {
			t.Cleanup(sys.Pretend(sys.TaskIterators))
		}
		for range 3 {
			start := time.Now()
			r, err := discover.Discover(t.Context(), discover.Options{Patience: 50 * time.Millisecond, Sources: discover.Full})
			require.NoError(t, err)
			require.Less(t, time.Since(start), 6*patience, "a search takes long where many namespaces have been")
			require.Contains(t, r.Problems, discover.Problem{Source: discover.InFlight, PID: os.Getpid(), Errno: unix.ETIMEDOUT})
		}
	}
}

// TestFalseTun has a file that only looks like the device of TUN and TAP.
func TestFalseTun(t *testing.T) {
	testutil.NeedRoot(t)
	var file int
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		require.NoError(t, unix.Mount("t", "/dev", "tmpfs", 0, ""))
		require.NoError(t, os.Mkdir("/dev/net", 0o700))
		require.NoError(t, os.WriteFile("/dev/net/tun", nil, 0o600))
		var err error
		file, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		closeLater(t, file)
	})
	var st raw.Status
	require.Zero(t, raw.Stat(file, &st))
	require.False(t, st.IsTun(), "it is asked nothing")
	for _, p := range full(t).Problems {
		require.False(t, p.PID == os.Getpid() && p.Source == discover.TunTap, "%v", p)
	}
}
