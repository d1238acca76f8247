package discover_test

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// rescanned returns the namespace with that inode number in a Rescan, which Discover must find too.
func rescanned(t *testing.T, old *discover.Result, ino uint64) *discover.Namespace {
	t.Helper()
	id := species.NamespaceIDFromInode(ino)
	r, err := discover.Discover(t.Context(), old.Options)
	require.NoError(t, err)
	require.NotNil(t, r.Namespace(id), "by Discover: %v", r.Problems)
	r, err = discover.Rescan(t.Context(), old)
	require.NoError(t, err)
	return r.Namespace(id)
}

func standard(t *testing.T) *discover.Result {
	t.Helper()
	r, err := discover.Discover(t.Context(), discover.Options{})
	require.NoError(t, err)
	return r
}

// talker is a process that gets its orders through stdin, and ends with the test.
type talker struct {
	*exec.Cmd
	stdin io.WriteCloser
}

func start(t *testing.T, files []*os.File, args ...string) talker {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = files
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		endAll([]*exec.Cmd{cmd})
	})
	return talker{cmd, stdin}
}

func (p talker) link(name string) string {
	link, _ := os.Readlink("/proc/" + strconv.Itoa(p.Process.Pid) + "/" + name)
	return link
}

// isAgain waits until a process that executes itself has got there: in a namespace, by the name of sh.
func (p talker) isAgain(t *testing.T, link string) {
	t.Helper()
	require.Eventually(t, func() bool {
		name, _ := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/comm")
		return p.link("ns/net") == link && string(name) == "sh\n"
	}, patience, tick)
}

// networkWithSocket calls f on a thread in a new network namespace, with a socket of it.
func networkWithSocket(t *testing.T, f func(socket *os.File)) (ino uint64) {
	briefly(t, func() {
		fd := newNetwork(t)
		ino = inodeOfFD(t, fd)
		require.NoError(t, unix.Close(fd))
		socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		file := os.NewFile(uintptr(socket), "socket")
		f(file)
		require.NoError(t, file.Close())
	})
	return ino
}

// TestRescanIsLikeDiscover compares all that is known of what the test has made, with the standard and all sources.
func TestRescanIsLikeDiscover(t *testing.T) {
	testutil.NeedRoot(t)
	all := inThisProcess(t)
	all = append(all, pinned(t)...)
	all = append(all, processLess(t)...)
	all = append(all, pinnedMounts(t)...)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000,
		Setup: "sleep 1000 & until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done"})
	for kind := range species.Set(species.AllNS).All() {
		id, _ := species.IDwithType(target.NamespaceLink(kind))
		all = append(all, truth{"process", kind, id.Ino})
	}
	for _, sources := range []discover.Sources{discover.Standard, discover.Full} {
		first, err := discover.Discover(t.Context(), discover.Options{Sources: sources})
		require.NoError(t, err)
		r := first
		byOthers := map[species.NamespaceID]bool{} // of which a rescan may know more: what a pin hides, descriptors show
		for range 3 {
			r, err = discover.Rescan(t.Context(), r)
			require.NoError(t, err)
			for _, want := range all {
				id := species.NamespaceIDFromInode(want.ino)
				then, now := first.Namespace(id), r.Namespace(id)
				byOthers[id] = byOthers[id] || heldByOthers(then) || heldByOthers(now)
				if !byOthers[id] {
					require.Equal(t, knownOf(then), knownOf(now), "%v", want)
				}
			}
			for _, p := range first.Namespace(species.NamespaceIDFromInode(all[len(all)-1].ino)).Processes {
				q := r.Process(p.PID)
				require.Equal(t, []any{p.Name, p.Cmdline, p.UID, p.GID, p.PIDs, p.Cgroup, p.Frozen}, []any{q.Name, q.Cmdline, q.UID, q.GID, q.PIDs, q.Cgroup, q.Frozen})
			}
		}
	}
}

// heldByOthers reports whether another process has a descriptor, such as a discovery for a moment.
func heldByOthers(n *discover.Namespace) bool {
	return n != nil && slices.ContainsFunc(n.References, func(r discover.Reference) bool {
		return r.Kind == discover.ByFD && r.PID != pid()
	})
}

// knownOf returns what is known of a namespace, without the descriptors that other discoveries hold meanwhile.
func knownOf(n *discover.Namespace) (known []any) {
	if n == nil {
		return nil
	}
	known = append(known, n.Serial, n.Type, n.Owner.String(), n.Parent.String(), n.OwnerUID, n.OwnerName)
	for r := range n.Holders() { // of this process, threads of discoveries may not have ended yet; others may discover, too
		if (r.Kind != discover.ByFD || r.PID == pid()) && (r.Kind != discover.ByTask || r.PID != pid()) {
			known = append(known, r.String())
		}
	}
	return known
}

// TestRescanAfterSetns has a process leave a network namespace, which then only its socket holds.
func TestRescanAfterSetns(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "nsenter")
	var p talker
	home, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	ino := networkWithSocket(t, func(socket *os.File) {
		p = start(t, []*os.File{socket}, "sh", "-c", "read x; exec nsenter --net=/proc/"+strconv.Itoa(pid())+"/ns/net sh -c 'read x'")
	})
	p.isAgain(t, "net:["+strconv.FormatUint(ino, 10)+"]")
	first := standard(t)
	require.Len(t, first.Namespace(species.NamespaceIDFromInode(ino)).Processes, 1)
	_, err = p.stdin.Write([]byte("\n"))
	require.NoError(t, err)
	p.isAgain(t, home)
	n := rescanned(t, first, ino)
	require.NotNil(t, n)
	require.Contains(t, n.References, discover.Reference{Kind: discover.BySocket, PID: p.Process.Pid, FD: 3})
}

// TestRescanOfAnInheritedSocket has one of two processes end that have a socket of a network namespace: that which was
// in there.
func TestRescanOfAnInheritedSocket(t *testing.T) {
	testutil.NeedRoot(t)
	var inside, outside talker
	var copied *os.File
	ino := networkWithSocket(t, func(socket *os.File) {
		inside = start(t, []*os.File{socket}, "cat")
		copied = os.NewFile(uintptr(mustDup(t, int(socket.Fd()))), "socket")
	})
	outside = start(t, []*os.File{copied}, "cat")
	require.NoError(t, copied.Close())
	first := standard(t)
	require.Len(t, first.Namespace(species.NamespaceIDFromInode(ino)).Processes, 1)
	endAll([]*exec.Cmd{inside.Cmd})
	n := rescanned(t, first, ino)
	require.NotNil(t, n)
	require.Contains(t, n.References, discover.Reference{Kind: discover.BySocket, PID: outside.Process.Pid, FD: 3})
}

// TestRescanOfATypeMask looks for a user namespace to which only a namespace leads that is not asked for.
func TestRescanOfATypeMask(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	p := start(t, nil, "unshare", "--user", "--net", "cat")
	own, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.link("ns/net") != own }, patience, tick)
	fd, err := unix.Open("/proc/"+strconv.Itoa(p.Process.Pid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	held := os.NewFile(uintptr(fd), "net")
	id, _ := species.IDwithType(p.link("ns/user"))
	start(t, []*os.File{held}, "cat") // this process's own descriptors are always looked at
	require.NoError(t, held.Close())
	endAll([]*exec.Cmd{p.Cmd})
	first, err := discover.Discover(t.Context(), discover.Options{Types: species.Set(species.CLONE_NEWUSER)})
	require.NoError(t, err)
	require.NotNil(t, first.Namespace(id))
	require.NotNil(t, rescanned(t, first, id.Ino))
}

// TestRescanOfATypeMaskAndPins does so with a pin, the second time.
func TestRescanOfATypeMaskAndPins(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS), Setup: `
mount -t tmpfs pins /mnt; touch /mnt/pin
unshare --user --map-root-user sh -c 'readlink /proc/self/ns/user >/mnt/user; unshare --net sleep 1000 & echo $! >/mnt/pid; while ! [ -s /mnt/done ]; do sleep 0.01; done; kill $!' &
while ! [ -s /mnt/pid ]; do sleep 0.01; done; sleep 0.1
mount --bind /proc/$(cat /mnt/pid)/ns/net /mnt/pin; echo >/mnt/done; wait`})
	text, err := os.ReadFile(target.Root() + "/mnt/user")
	require.NoError(t, err)
	id, _ := species.IDwithType(string(text[:len(text)-1]))
	r, err := discover.Discover(t.Context(), discover.Options{Types: species.Set(species.CLONE_NEWNS | species.CLONE_NEWUSER)})
	require.NoError(t, err)
	require.NotNil(t, r.Namespace(id))
	for range 3 {
		r, err = discover.Rescan(t.Context(), r)
		require.NoError(t, err)
		require.NotNil(t, r.Namespace(id))
	}
}

// TestRescanOfMessages has a descriptor sent to a socket that was there before.
func TestRescanOfMessages(t *testing.T) {
	testutil.NeedRoot(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	sender, receiver := os.NewFile(uintptr(pair[0]), "sender"), os.NewFile(uintptr(pair[1]), "receiver")
	defer sender.Close()
	start(t, []*os.File{receiver}, "cat")
	require.NoError(t, receiver.Close())
	first := full(t)
	var ino uint64
	briefly(t, func() {
		fd := newNetwork(t)
		ino = inodeOfFD(t, fd)
		require.NoError(t, unix.Sendmsg(int(sender.Fd()), []byte{1}, unix.UnixRights(fd), nil, 0))
		require.NoError(t, unix.Close(fd))
	})
	require.NotNil(t, rescanned(t, first, ino))
}

// TestRescanSeesCredentials has a process become another user without executing anything.
func TestRescanSeesCredentials(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 13) // earlier ones are not asked again
	testutil.NeedCommand(t, "setpriv")
	p := start(t, nil, "sh", "-c", "read x; exec setpriv --reuid 1234 --regid 4321 --clear-groups sh -c 'read x'")
	first := standard(t)
	require.Zero(t, first.Process(p.Process.Pid).UID)
	_, err := p.stdin.Write([]byte("\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		name, _ := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/comm")
		var st unix.Stat_t
		return string(name) == "sh\n" && unix.Stat("/proc/"+strconv.Itoa(p.Process.Pid)+"/stat", &st) == nil && st.Uid == 1234
	}, patience, tick)
	second, err := discover.Rescan(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, []int{1234, 4321}, []int{second.Process(p.Process.Pid).UID, second.Process(p.Process.Pid).GID})
}

// TestRescanOfMounts has pins come and go.
func TestRescanOfMounts(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS), Setup: `
mount -t tmpfs pins /mnt; mount --make-private /mnt; touch /mnt/a /mnt/b; unshare --net=/mnt/a true`})
	ino := inodeOf(t, target.Root()+"/mnt/a")
	paths := func(r *discover.Result) (paths []string) {
		if n := r.Namespace(species.NamespaceIDFromInode(ino)); n != nil {
			for _, ref := range n.References {
				if ref.Kind == discover.ByPin { // others may discover, too, and hold it
					paths = append(paths, ref.Path)
				}
			}
		}
		return paths
	}
	r := standard(t)
	again := func() []string {
		var err error
		r, err = discover.Rescan(t.Context(), r)
		require.NoError(t, err)
		return paths(r)
	}
	require.Equal(t, []string{"/mnt/a"}, paths(r))
	require.Equal(t, []string{"/mnt/a"}, again())
	require.Equal(t, []string{"/mnt/a"}, again())
	target.Sh("mount --bind /mnt/a /mnt/b")
	require.Equal(t, []string{"/mnt/a", "/mnt/b"}, again())
	target.Sh("umount -l /mnt/a")
	require.Equal(t, []string{"/mnt/b"}, again())
	target.Sh("umount -l /mnt/b")
	require.Empty(t, again())
}

// TestRescanOfAFurtherDescriptor has a known process open a namespace.
func TestRescanOfAFurtherDescriptor(t *testing.T) {
	testutil.NeedRoot(t)
	var file *os.File
	briefly(t, func() { file = os.NewFile(uintptr(newNetwork(t)), "net") })
	number := int(file.Fd())
	id := species.NamespaceIDFromInode(inodeOfFD(t, number))
	p := start(t, nil, "sh", "-c", "read x; exec 7</proc/"+strconv.Itoa(pid())+"/fd/"+strconv.Itoa(number)+"; read x")
	first := standard(t)
	_, err := p.stdin.Write([]byte("\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.link("fd/7") != "" }, patience, tick)
	require.NoError(t, file.Close())
	r, err := discover.Rescan(t.Context(), first)
	require.NoError(t, err)
	n := r.Namespace(id)
	require.NotNil(t, n)
	require.Contains(t, n.References, discover.Reference{Kind: discover.ByFD, PID: p.Process.Pid, FD: 7})
}

// TestRescanSeesThreads has a thread of a known process go elsewhere, with a table of its own.
func TestRescanSeesThreads(t *testing.T) {
	testutil.NeedRoot(t)
	first := standard(t)
	var uts, net uint64
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_NEWUTS|unix.CLONE_FILES))
		uts = inodeOf(t, "/proc/thread-self/ns/uts")
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		net = inodeOfFD(t, newNetwork(t))
		require.NoError(t, unix.Setns(home, unix.CLONE_NEWNET))
	})
	n := rescanned(t, first, uts)
	require.NotNil(t, n)
	require.Len(t, n.StrayTasks, 1)
	n = rescanned(t, first, net)
	require.NotNil(t, n)
	require.True(t, slices.ContainsFunc(n.References, func(r discover.Reference) bool { return r.Kind == discover.ByFD && r.TID != 0 }))
}

func mustDup(t *testing.T, fd int) int {
	got, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	return got
}
