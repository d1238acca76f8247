package handle_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// What netns has, handle has: both columns have the same types, but for that of the handle.
//
//nolint:staticcheck // deprecated names have to be there too
var (
	_ = []func() (handle.NsHandle, error){handle.Get, handle.New}
	_ = []func() (netns.NsHandle, error){netns.Get, netns.New}
	_ = []func(string) (handle.NsHandle, error){
		handle.NewNamed, handle.GetFromPath, handle.GetFromName, handle.GetFromDocker,
	}
	_ = []func(string) (netns.NsHandle, error){
		netns.NewNamed, netns.GetFromPath, netns.GetFromName, netns.GetFromDocker,
	}
	_ = []func(string) error{handle.DeleteNamed, netns.DeleteNamed}
	_ = func(h handle.NsHandle, n netns.NsHandle) {
		_, _ = []func(handle.NsHandle) error{handle.Set}, []func(netns.NsHandle) error{netns.Set}
		_, _ = []func(handle.NsHandle, int) error{handle.Setns}, []func(netns.NsHandle, int) error{netns.Setns}
		_, _ = []func(int, int) (handle.NsHandle, error){handle.GetFromThread},
			[]func(int, int) (netns.NsHandle, error){netns.GetFromThread}
		_, _ = []func(int) (handle.NsHandle, error){handle.GetFromPid}, []func(int) (netns.NsHandle, error){netns.GetFromPid}
		_ = []func() string{h.String, h.UniqueId, n.String, n.UniqueId}
		_ = []func() bool{h.IsOpen, n.IsOpen}
		_ = []func() error{h.Close, n.Close}
		_, _ = []func(handle.NsHandle) bool{h.Equal}, []func(netns.NsHandle) bool{n.Equal}
	}
)

//nolint:staticcheck // deprecated names have to be there too
func TestConstantsAreThoseOfNetns(t *testing.T) {
	require.EqualValues(t, netns.CLONE_NEWUTS, handle.CLONE_NEWUTS)
	require.EqualValues(t, netns.CLONE_NEWIPC, handle.CLONE_NEWIPC)
	require.EqualValues(t, netns.CLONE_NEWUSER, handle.CLONE_NEWUSER)
	require.EqualValues(t, netns.CLONE_NEWPID, handle.CLONE_NEWPID)
	require.EqualValues(t, netns.CLONE_NEWNET, handle.CLONE_NEWNET)
	require.EqualValues(t, uint32(netns.CLONE_IO), uint32(handle.CLONE_IO))
	require.Equal(t, netns.None(), netns.NsHandle(handle.None()))
}

func TestHandleTextsAreThoseOfNetns(t *testing.T) {
	testutil.CheckLeaks(t)
	ns, err := handle.Get()
	require.NoError(t, err)
	copied := ns
	require.Equal(t, netns.NsHandle(ns).String(), ns.String())
	require.Equal(t, netns.NsHandle(ns).UniqueId(), ns.UniqueId())
	require.True(t, ns.IsOpen())
	require.True(t, ns.Equal(copied))
	require.NoError(t, ns.Close())

	require.Equal(t, handle.None(), ns)
	require.False(t, ns.IsOpen())
	require.Equal(t, "NS(none)", ns.String())
	require.Equal(t, "NS(none)", ns.UniqueId())
	require.ErrorIs(t, ns.Close(), syscall.EBADF)
	require.Equal(t, netns.NsHandle(copied).String(), copied.String())
	require.Equal(t, "NS(unknown)", copied.UniqueId())
	require.False(t, copied.Equal(ns))
	require.True(t, handle.NsHandle(0).IsOpen(), "descriptor 0, as in netns")
}

func TestGetIsOfTheThread(t *testing.T) {
	testutil.CheckLeaks(t)
	testutil.NeedRoot(t)
	onThrowAwayThread(t, func() {
		before := here(t, species.CLONE_NEWNET)
		ns, err := handle.New()
		require.NoError(t, err)
		defer func() { _ = ns.Close() }()
		require.NotEqual(t, before, id(t, ns))
		require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET))
		require.Equal(t, id(t, ns).LinkText(species.CLONE_NEWNET), link(t, "net"))

		same, err := handle.GetFromThread(os.Getpid(), syscall.Gettid())
		require.NoError(t, err)
		defer func() { _ = same.Close() }()
		require.True(t, same.Equal(ns))
		main, err := handle.GetFromPid(os.Getpid())
		require.NoError(t, err)
		defer func() { _ = main.Close() }()
		require.Equal(t, before, id(t, main))
		require.NoError(t, handle.Set(main))
		require.Equal(t, before, here(t, species.CLONE_NEWNET))
		require.NoError(t, handle.Setns(ns, handle.CLONE_NEWNET))
		require.NoError(t, handle.Setns(main, 0))
		require.ErrorIs(t, handle.Setns(ns, handle.CLONE_NEWUTS), syscall.EINVAL)
		require.Equal(t, before, here(t, species.CLONE_NEWNET))
	})
}

// In a new PID namespace under the /proc of the old one, os.Getpid leads to somebody else's entry there.
func TestGetUnderForeignProc(t *testing.T) {
	alone(t, species.CLONE_NEWPID|species.CLONE_NEWNET, func(t *testing.T) {
		require.Less(t, os.Getpid(), 100, "a PID namespace of its own")
		ns, err := handle.Get()
		require.NoError(t, err)
		defer func() { _ = ns.Close() }()
		require.Equal(t, link(t, "net"), id(t, ns).LinkText(species.CLONE_NEWNET))
		defer sys.Pretend(sys.PidfdNamespaces)()
		for _, get := range []func() (handle.NsHandle, error){
			handle.Get,
			func() (handle.NsHandle, error) { return handle.GetFromPid(os.Getpid()) },
			func() (handle.NsHandle, error) { return handle.GetFromThread(os.Getpid(), syscall.Gettid()) },
		} {
			other, err := get()
			if err != nil {
				require.ErrorIs(t, err, syscall.ESRCH)
				continue
			}
			require.True(t, other.Equal(ns), "%s is not %s", other, ns)
			require.NoError(t, other.Close())
		}
	})
}

func TestGetFromPathTakesNamespacesOnly(t *testing.T) {
	testutil.CheckLeaks(t)
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	socket, err := net.Listen("unix", filepath.Join(dir, "socket"))
	require.NoError(t, err)
	defer func() { _ = socket.Close() }()
	for _, path := range []string{fifo, file, dir, filepath.Join(dir, "socket"), "/proc/self/status", "/dev/null", "/proc/self/ns"} {
		done := make(chan error, 1)
		go func() { _, err := handle.GetFromPath(path); done <- err }()
		select {
		case err := <-done:
			require.ErrorIs(t, err, syscall.EINVAL, path)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "no namespace")
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: hangs", path)
		}
	}
	_, err = handle.Of(species.CLONE_NEWNET).GetFromPath("/proc/self/ns/uts")
	require.ErrorIs(t, err, syscall.EINVAL)
	require.ErrorContains(t, err, "it is a uts namespace")
	_, err = handle.GetFromPath(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestGetFromPidOfNobody(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, pid := range []int{0, -1, -os.Getpid()} {
		_, err := handle.GetFromPid(pid)
		require.ErrorIs(t, err, syscall.EINVAL)
		_, err = handle.GetFromThread(pid, 1)
		require.ErrorIs(t, err, syscall.EINVAL)
	}
	_, err := handle.GetFromPid(1 << 30)
	require.Error(t, err)
	for shift := 31; shift < strconv.IntSize-1; shift++ { // PIDs have 32 bits, and so has what the kernel looks at
		mine := 1<<shift + os.Getpid()
		_, err := handle.GetFromPid(mine)
		require.ErrorIs(t, err, syscall.ESRCH, mine)
		_, err = handle.GetFromThread(os.Getpid(), mine)
		require.ErrorIs(t, err, syscall.ESRCH, mine)
		_, err = handle.TranslatePID(mine, handle.NamespacePath("/proc/self/ns/pid"), nil)
		require.ErrorIs(t, err, syscall.ESRCH, mine)
		_, err = handle.TranslatePID(mine, nil, handle.NamespacePath("/proc/self/ns/pid"))
		require.ErrorIs(t, err, syscall.ESRCH, mine)
	}
	_, err = handle.GetFromThread(os.Getpid(), os.Getppid())
	require.ErrorIs(t, err, syscall.ESRCH, "a thread of another process")
	restore := sys.Pretend(sys.PidfdThread)
	_, err = handle.GetFromThread(os.Getpid(), os.Getppid())
	require.ErrorIs(t, err, syscall.ESRCH)
	ns, err := handle.GetFromThread(os.Getpid(), os.Getpid())
	require.NoError(t, err)
	require.NoError(t, ns.Close())
	restore()

	zombie := exec.Command("true")
	require.NoError(t, zombie.Start())
	defer func() { _ = zombie.Wait() }()
	require.Eventually(t, func() bool {
		var ns handle.NsHandle
		if ns, err = handle.GetFromPid(zombie.Process.Pid); err == nil {
			_ = ns.Close()
		}
		return errors.Is(err, syscall.ESRCH) && errors.Is(err, handle.ErrStale)
	}, 5*time.Second, time.Millisecond)
	var general *handle.Error
	require.ErrorAs(t, err, &general)
	require.Equal(t, "process "+strconv.Itoa(zombie.Process.Pid), general.Ref)
}

// The PID of a process that has ended is given to another one while a reference is held.
func TestReusedPIDIsStale(t *testing.T) {
	alone(t, species.CLONE_NEWPID, func(t *testing.T) {
		require.NoError(t, syscall.Mount("proc", "/proc", "proc", 0, ""))
		for _, forced := range []func() func(){
			func() func() { return func() {} },
			func() func() { return sys.Pretend(sys.PidfdNamespaces) },
		} {
			restore := forced()
			pid, stop := startSleeper(t, 0)
			process, err := handle.OpenProcess(pid)
			require.NoError(t, err)
			portable, err := handle.NewPortable(process.Namespace(species.CLONE_NEWUTS))
			require.NoError(t, err)
			stop()
			time.Sleep(20 * time.Millisecond) // start times are in ticks of 10 ms
			again, stop := startSleeper(t, pid)
			require.Equal(t, pid, again)

			_, err = process.Namespace(species.CLONE_NEWUTS).ID()
			require.ErrorIs(t, err, handle.ErrStale)
			err = handle.Go(func() {}, process.Namespaces(species.CLONE_NEWUTS, species.CLONE_NEWIPC)...)
			require.ErrorIs(t, err, handle.ErrStale)
			_, err = portable.Open()
			require.ErrorIs(t, err, handle.ErrStale)
			stop()
			require.NoError(t, process.Close())
			restore()
		}
	})
}

// startSleeper starts a process, with that PID unless it is 0.
func startSleeper(t *testing.T, pid int) (int, func()) {
	t.Helper()
	if pid != 0 {
		require.NoError(t, os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0))
	}
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	return cmd.Process.Pid, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func TestNewLeavesTheThreadIfItFails(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		onThrowAwayThread(t, func() {
			before := link(t, "net")
			require.NoError(t, os.WriteFile("/proc/sys/user/max_net_namespaces", []byte("0"), 0))
			_, err := handle.New()
			require.ErrorIs(t, err, syscall.ENOSPC)
			_, err = handle.NewNamed("x")
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.Equal(t, before, link(t, "net"))
		})
	})
}

func TestTheOtherTypes(t *testing.T) {
	testutil.CheckLeaks(t)
	testutil.NeedRoot(t)
	for of := range species.Set(species.AllNS).All() {
		t.Run(of.Name(), func(t *testing.T) {
			get := handle.Of(of)
			ns, err := get.Get()
			require.NoError(t, err)
			defer func() { _ = ns.Close() }()
			fromPath, err := get.GetFromPath("/proc/thread-self/ns/" + of.Name())
			require.NoError(t, err)
			defer func() { _ = fromPath.Close() }()
			fromPID, err := get.GetFromPid(os.Getpid())
			require.NoError(t, err)
			defer func() { _ = fromPID.Close() }()
			require.True(t, ns.Equal(fromPath) && ns.Equal(fromPID))
			found, err := ns.Type()
			require.NoError(t, err)
			require.Equal(t, of, found)
			onThrowAwayThread(t, func() { checkNew(t, of) })
		})
	}
	_, err := handle.Of(species.CLONE_NEWNET | species.CLONE_NEWUTS).Get()
	require.ErrorIs(t, err, syscall.EINVAL)
	require.ErrorIs(t, handle.Of(0).Set(3), syscall.EINVAL)
}

// checkNew makes a namespace and goes back.
func checkNew(t *testing.T, of species.NamespaceType) {
	t.Helper()
	home, err := handle.Of(of).Get()
	require.NoError(t, err)
	defer func() { _ = home.Close() }()
	ns, err := handle.Of(of).New()
	switch of {
	case species.CLONE_NEWUSER, species.CLONE_NEWTIME:
		require.ErrorIs(t, handle.Of(of).Set(home), handle.ErrNeedsReexec)
		require.ErrorIs(t, err, handle.ErrNeedsReexec)
		require.ErrorContains(t, err, "package call")
		return
	case species.CLONE_NEWPID:
		require.ErrorIs(t, err, handle.ErrNeedsReexec)
		require.NoError(t, handle.Of(of).Set(home))
		return
	}
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	require.Equal(t, id(t, ns).LinkText(of), link(t, of.Name()))
	require.False(t, ns.Equal(home))
	require.NoError(t, handle.Of(of).Set(home))
	require.Equal(t, id(t, home), here(t, of))
}

func TestSetOfAMountNamespaceMovesOneThreadOnly(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	theirs := target.NamespaceLink(species.CLONE_NEWNS)
	ours, err := os.Stat("/")
	require.NoError(t, err)
	cwd, err := os.Getwd()
	require.NoError(t, err)
	ns, err := handle.Of(species.CLONE_NEWNS).GetFromPid(target.PID)
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	type outcome struct {
		err error
		id  species.NamespaceID
	}
	done := make(chan outcome)
	go func() { // not Execute, which has the thread share nothing already
		handle.LockThread()
		err := handle.Of(species.CLONE_NEWNS).Set(ns)
		done <- outcome{err, forChildren(species.CLONE_NEWNS)}
	}()
	there := <-done
	require.NoError(t, there.err)
	require.Equal(t, theirs, there.id.LinkText(species.CLONE_NEWNS))
	after, err := os.Readlink("/proc/self/cwd")
	require.NoError(t, err)
	require.Equal(t, cwd, after)
	root, err := os.Stat("/proc/self/root/")
	require.NoError(t, err)
	require.True(t, os.SameFile(ours, root))
}
