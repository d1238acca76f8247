package discover_test

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// truth is what a test has made itself, and how it is held.
type truth struct {
	what string
	t    species.NamespaceType
	ino  uint64
}

// onThread runs f on a thread that ends with the test, but not before. It returns when f has returned.
func onThread(t *testing.T, f func()) {
	t.Helper()
	ready, end, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go discarded(gone, func() {
		f()
		close(ready)
		<-end
	})
	select {
	case <-ready:
	case <-gone:
		t.Fatal("could not be set up")
	}
	t.Cleanup(func() {
		close(end)
		<-gone
	})
}

// briefly runs f on a thread that ends with it.
func briefly(t *testing.T, f func()) {
	t.Helper()
	gone := make(chan struct{})
	go discarded(gone, f)
	<-gone
}

// discarded runs f on a thread that is not the main one and ends with it.
func discarded(gone chan struct{}, f func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		there := make(chan struct{})
		go discarded(there, f)
		<-there
		runtime.UnlockOSThread()
		close(gone)
		return
	}
	defer close(gone)
	f()
}

func inodeOf(t *testing.T, path string) uint64 {
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st), path)
	return st.Ino
}

func inodeOfFD(t *testing.T, fd int) uint64 {
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(fd, &st))
	return st.Ino
}

// newNetwork puts the calling thread into a new network namespace and opens that.
func newNetwork(t *testing.T) int {
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	return fd
}

func closeLater(t *testing.T, fd int) { t.Cleanup(func() { _ = unix.Close(fd) }) }

// inThisProcess makes what a process can make itself: it takes root, or a user namespace of one's own.
func inThisProcess(t *testing.T) (all []truth) {
	add := func(what string, kind species.NamespaceType, ino uint64) { all = append(all, truth{what, kind, ino}) }
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_NEWUTS))
		add("task", species.CLONE_NEWUTS, inodeOf(t, "/proc/thread-self/ns/uts"))
	})
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_NEWTIME))
		add("children", species.CLONE_NEWTIME, inodeOf(t, "/proc/thread-self/ns/time_for_children"))
	})
	briefly(t, func() {
		fd := newNetwork(t)
		closeLater(t, fd)
		add("fd", species.CLONE_NEWNET, inodeOfFD(t, fd))
	})
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FILES))
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		fd := newNetwork(t)
		require.NoError(t, unix.Setns(home, unix.CLONE_NEWNET))
		add("fd", species.CLONE_NEWNET, inodeOfFD(t, fd))
	})
	briefly(t, func() {
		fd := newNetwork(t)
		socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		closeLater(t, socket)
		add("socket", species.CLONE_NEWNET, inodeOfFD(t, fd))
		require.NoError(t, unix.Close(fd))
	})
	briefly(t, func() {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		closeLater(t, pair[0])
		closeLater(t, pair[1])
		fd := newNetwork(t)
		add("message", species.CLONE_NEWNET, inodeOfFD(t, fd))
		require.NoError(t, unix.Sendmsg(pair[0], []byte{1}, unix.UnixRights(fd), nil, 0))
		require.NoError(t, unix.Close(fd))
	})
	return all
}

// tunTap makes a TAP device in a new network namespace and holds it from outside.
func tunTap(t *testing.T) (found truth) {
	briefly(t, func() {
		fd := newNetwork(t)
		tap, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		closeLater(t, tap)
		request, err := unix.NewIfreq("nsops0")
		require.NoError(t, err)
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		require.NoError(t, unix.IoctlIfreq(tap, unix.TUNSETIFF, request))
		found = truth{"tun", species.CLONE_NEWNET, inodeOfFD(t, fd)}
		require.NoError(t, unix.Close(fd))
	})
	return found
}

// pinned makes a target that has a pin, and one that is mounted over.
func pinned(t *testing.T) []truth {
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS), Setup: `
mount -t tmpfs pins /mnt
touch /mnt/pin /mnt/over '/mnt/a
b c'
unshare --net=/mnt/pin true
stat -L -c %i /mnt/pin >/mnt/pin.ino
unshare --ipc='/mnt/a
b c' true
stat -L -c %i '/mnt/a
b c' >/mnt/abc.ino
unshare --uts=/mnt/over true
stat -L -c %i /mnt/over >/mnt/over.ino
mount --bind /dev/null /mnt/over`})
	read := func(name string) uint64 {
		text, err := os.ReadFile(target.Root() + "/mnt/" + name + ".ino")
		require.NoError(t, err)
		ino, err := strconv.ParseUint(string(text[:len(text)-1]), 10, 64)
		require.NoError(t, err)
		return ino
	}
	return []truth{
		{"pin", species.CLONE_NEWNET, read("pin")},
		{"pin", species.CLONE_NEWIPC, read("abc")},
		{"pin", species.CLONE_NEWUTS, read("over")},
	}
}

// processLess makes a mount namespace that only a descriptor holds, with a pin in it.
func processLess(t *testing.T) (all []truth) {
	dir := t.TempDir()
	briefly(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		require.NoError(t, unix.Mount("t", dir, "tmpfs", 0, ""))
		require.NoError(t, os.WriteFile(dir+"/pin", nil, 0o600))
		network := newNetwork(t)
		require.NoError(t, unix.Mount("/proc/thread-self/ns/net", dir+"/pin", "", unix.MS_BIND, ""))
		all = append(all, truth{"pin", species.CLONE_NEWNET, inodeOfFD(t, network)})
		require.NoError(t, unix.Close(network))
		fd, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		closeLater(t, fd)
		all = append(all, truth{"fd", species.CLONE_NEWNS, inodeOfFD(t, fd)})
	})
	return all
}

// pinnedMounts pins a mount namespace in another one, in which there is only a thread, and has a pin in the inner one.
func pinnedMounts(t *testing.T) (all []truth) {
	dir := t.TempDir()
	separate := func() {
		// A mount namespace can be mounted only in an older one, by an ID of which each processor has a store.
		var first unix.CPUSet
		first.Set(0)
		require.NoError(t, unix.SchedSetaffinity(0, &first))
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		require.NoError(t, unix.Mount("t", dir, "tmpfs", 0, ""))
		require.NoError(t, os.WriteFile(dir+"/pin", nil, 0o600))
	}
	onThread(t, func() {
		separate()
		inner, done, gone := make(chan int), make(chan struct{}), make(chan struct{})
		second := func() {
			separate()
			network := newNetwork(t)
			require.NoError(t, unix.Mount("/proc/thread-self/ns/net", dir+"/pin", "", unix.MS_BIND, ""))
			all = append(all, truth{"pin", species.CLONE_NEWNET, inodeOfFD(t, network)},
				truth{"pin", species.CLONE_NEWNS, inodeOf(t, "/proc/thread-self/ns/mnt")})
			require.NoError(t, unix.Close(network))
			inner <- unix.Gettid()
			<-done
		}
		go discarded(gone, second)
		task := "/proc/self/task/" + strconv.Itoa(<-inner)
		require.NoError(t, unix.Mount(task+"/ns/mnt", dir+"/pin", "", unix.MS_BIND, ""))
		close(done)
		<-gone
	})
	return all
}

// nested starts a process in a user namespace in one that nobody is in any more.
func nested(t *testing.T) (pid int) {
	testutil.NeedCommand(t, "unshare")
	cmd := exec.Command("unshare", "-U", "-r", "unshare", "-U", "-r", "sleep", "1000")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	name := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/comm"
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(name)
		return string(text) == "sleep\n"
	}, patience, tick)
	return cmd.Process.Pid
}

// outlived starts a process in a network namespace whose owner nobody is in any more, and returns the owner.
func outlived(t *testing.T) truth {
	testutil.NeedCommand(t, "unshare", "nsenter")
	maker := start(t, nil, "unshare", "--user", "--net", "cat")
	home, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return maker.link("ns/net") != home }, patience, tick)
	network, owner := maker.link("ns/net"), inodeOf(t, "/proc/"+strconv.Itoa(maker.Process.Pid)+"/ns/user")
	other := start(t, nil, "nsenter", "--net=/proc/"+strconv.Itoa(maker.Process.Pid)+"/ns/net", "cat")
	require.Eventually(t, func() bool { return other.link("ns/net") == network }, patience, tick)
	endAll([]*exec.Cmd{maker.Cmd})
	return truth{"", species.CLONE_NEWUSER, owner}
}
