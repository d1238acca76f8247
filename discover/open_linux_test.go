package discover_test

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// withoutHandles has Open take the ways that it has on kernels without file handles.
func withoutHandles(t *testing.T) { t.Cleanup(sys.Pretend(sys.NamespaceHandles)) }

// requireOpens requires that Open finds that very namespace.
func requireOpens(t *testing.T, n *discover.Namespace) {
	t.Helper()
	require.NotNil(t, n)
	f, err := n.Open()
	require.NoError(t, err)
	id, err := f.ID()
	require.NoError(t, err)
	require.Equal(t, n.ID, id)
	require.NoError(t, f.Close())
}

// requireStale requires that Open says so, and soon.
func requireStale(t *testing.T, n *discover.Namespace) {
	t.Helper()
	start := time.Now()
	_, err := n.Open()
	require.ErrorIs(t, err, discover.ErrStale)
	var own *discover.Error
	require.ErrorAs(t, err, &own)
	require.Equal(t, n.Type, own.Type)
	require.Less(t, time.Since(start), patience)
}

// TestOpenThroughEachReference goes by each kind of reference, on a kernel without file handles.
func TestOpenThroughEachReference(t *testing.T) {
	testutil.NeedRoot(t)
	checkLeaks(t)
	all := inThisProcess(t)
	all = append(all, tunTap(t))
	all = append(all, pinned(t)[:2]...)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	r := full(t)
	withoutHandles(t)
	for kind := range species.Set(species.AllNS).All() {
		requireOpens(t, r.Process(target.PID).Namespaces.Of(kind))
	}
	for _, want := range all {
		n := r.Namespace(species.NamespaceIDFromInode(want.ino))
		require.NotNil(t, n, "%v", want)
		requireOpens(t, n)
	}
}

// TestOpenAfterTheProcessesEnded has a pin behind more processes than are tried.
func TestOpenAfterTheProcessesEnded(t *testing.T) {
	testutil.NeedRoot(t)
	withoutHandles(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS), Setup: `
mount -t tmpfs pins /mnt; touch /mnt/pin; unshare --net=/mnt/pin true`})
	var all []*exec.Cmd
	for range 12 {
		cmd := exec.Command("nsenter", "--net="+target.Root()+"/mnt/pin", "sleep", "1000")
		require.NoError(t, cmd.Start())
		all = append(all, cmd)
	}
	t.Cleanup(func() { endAll(all) })
	ino := inodeOf(t, target.Root()+"/mnt/pin")
	for _, cmd := range all {
		require.Eventually(t, func() bool { return inodeOf(t, "/proc/"+strconv.Itoa(cmd.Process.Pid)+"/ns/net") == ino }, patience, tick)
	}
	n := full(t).Namespace(species.NamespaceIDFromInode(ino))
	require.Len(t, n.Processes, 12)
	endAll(all)
	requireOpens(t, n)
}

func endAll(all []*exec.Cmd) {
	for _, cmd := range all {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// TestOpenOfAReusedNumber has the inode number go to a namespace that only its 64-bit ID tells from the one that was found.
func TestOpenOfAReusedNumber(t *testing.T) {
	testutil.NeedKernel(t, 6, 18)
	own := standard(t).Process(pid())
	n := *own.Namespaces.Of(species.CLONE_NEWUTS)
	n.Processes, n.StrayTasks, n.References = []*discover.Process{own}, nil, nil
	f, err := n.Open()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	n.Serial = 1 << 62 // no namespace has got there
	requireStale(t, &n)
}

func TestOpenOfADescriptorThatWasReplaced(t *testing.T) {
	testutil.NeedRoot(t)
	checkLeaks(t)
	withoutHandles(t)
	var kept, other int
	briefly(t, func() { kept = newNetwork(t) })
	briefly(t, func() { other = newNetwork(t) })
	closeLater(t, kept)
	closeLater(t, other)
	n := full(t).Namespace(species.NamespaceIDFromInode(inodeOfFD(t, kept)))
	requireOpens(t, n)
	require.NoError(t, unix.Dup3(other, kept, unix.O_CLOEXEC))
	requireStale(t, n)
	pipe := make([]int, 2)
	require.NoError(t, unix.Pipe2(pipe, unix.O_CLOEXEC))
	closeLater(t, pipe[0])
	closeLater(t, pipe[1])
	require.NoError(t, unix.Dup3(pipe[0], kept, unix.O_CLOEXEC))
	requireStale(t, n)
	require.NoError(t, unix.Dup3(hungFUSE(t, func(string) {}), kept, unix.O_CLOEXEC))
	requireStale(t, n)
}

// TestOpenOfAPinThatWasReplaced has other things in the place of a pin, such that hang who opens them, with and without
// file handles.
func TestOpenOfAPinThatWasReplaced(t *testing.T) {
	testutil.NeedRoot(t)
	for name, replace := range map[string]func(dir string){
		"namespace": func(dir string) {
			require.NoError(t, unix.Mount("/proc/self/ns/uts", dir+"/pin", "", unix.MS_BIND, ""))
		},
		"fifo": func(dir string) {
			require.NoError(t, unix.Mkfifo(dir+"/fifo", 0o600))
			require.NoError(t, unix.Mount(dir+"/fifo", dir+"/pin", "", unix.MS_BIND, ""))
		},
		"fuse":       func(dir string) { mountHungFUSE(t, dir+"/pin", unix.S_IFREG) },
		"fuse above": func(dir string) { mountHungFUSE(t, dir, unix.S_IFDIR) },
		"nothing":    func(string) {},
	} {
		for _, handles := range []bool{true, false} {
			t.Run(name+" handles="+strconv.FormatBool(handles), func(t *testing.T) {
				dir := t.TempDir()
				var n *discover.Namespace
				onThread(t, func() {
					require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
					require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
					require.NoError(t, unix.Mount("t", dir, "tmpfs", 0, ""))
					require.NoError(t, os.WriteFile(dir+"/pin", nil, 0o600))
					network := newNetwork(t)
					ino := inodeOfFD(t, network)
					require.NoError(t, unix.Mount("/proc/thread-self/ns/net", dir+"/pin", "", unix.MS_BIND, ""))
					require.NoError(t, unix.Close(network))
					home, err := unix.Open("/proc/1/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
					if err != nil {
						home, err = unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
					}
					require.NoError(t, err)
					require.NoError(t, unix.Setns(home, unix.CLONE_NEWNET))
					require.NoError(t, unix.Close(home))
					cat := exec.Command("cat") // in this mount namespace, for the way to the pin
					stdin, err := cat.StdinPipe()
					require.NoError(t, err)
					require.NoError(t, cat.Start())
					t.Cleanup(func() {
						_ = stdin.Close()
						_ = cat.Wait()
					})
					n = full(t).Namespace(species.NamespaceIDFromInode(ino))
					require.NotNil(t, n)
					require.True(t, slices.ContainsFunc(n.References, func(r discover.Reference) bool { return r.Kind == discover.ByPin }))
					require.NoError(t, unix.Unmount(dir+"/pin", unix.MNT_DETACH)) // whoever discovers meanwhile keeps it busy
					replace(dir)
				})
				if !handles {
					withoutHandles(t)
				}
				gone := func() bool {
					f, err := n.Open()
					if err == nil {
						_ = f.Close() // else it would keep the namespace until it is collected
					}
					return err != nil
				}
				require.Eventually(t, gone, 6*patience, 10*time.Millisecond, "whoever discovers meanwhile holds it")
				requireStale(t, n)
			})
		}
	}
}

// TestOpenOfAPIDThatIsAnothersNow gives the PID of a process that has ended to another.
func TestOpenOfAPIDThatIsAnothersNow(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	if !insidePIDNamespace(t) {
		return
	}
	withoutHandles(t)
	first := startWithPID(t, 500, "unshare", "--net", "sleep", "1000")
	ino := ""
	require.Eventually(t, func() bool {
		ino, _ = os.Readlink("/proc/500/ns/net")
		own, _ := os.Readlink("/proc/self/ns/net")
		return ino != own
	}, patience, tick)
	id, _ := species.IDwithType(ino)
	n := full(t).Namespace(id)
	requireOpens(t, n)
	endAll([]*exec.Cmd{first})
	second := startWithPID(t, 500, "sleep", "1000")
	requireStale(t, n)
	endAll([]*exec.Cmd{second})
}

// insidePIDNamespace runs the test again in a PID namespace with a /proc of its own, and is true in there.
func insidePIDNamespace(t *testing.T) bool {
	t.Helper()
	const inside = "NSOPS_TEST_INSIDE_PIDNS"
	if os.Getenv(inside) == t.Name() {
		return true
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: "+t.Name())
	return false
}

// startWithPID starts a process with that PID, which takes a PID namespace that is ours alone.
func startWithPID(t *testing.T, pid int, args ...string) *exec.Cmd {
	t.Helper()
	for range 100 {
		require.NoError(t, os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0o600))
		cmd := exec.Command(args[0], args[1:]...)
		require.NoError(t, cmd.Start())
		if cmd.Process.Pid == pid {
			return cmd
		}
		endAll([]*exec.Cmd{cmd})
	}
	require.Fail(t, "the PID is not to be had")
	return nil
}

func TestOpenWithoutTheRights(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		r := full(t)
		for _, p := range r.Processes {
			if p.Parent != nil || strings.HasPrefix(p.Name, "k") {
				continue
			}
			n := &discover.Namespace{ID: r.OfType(species.CLONE_NEWNET)[0].ID, Type: species.CLONE_NEWNET, Processes: []*discover.Process{p}}
			_, err := n.Open()
			require.ErrorIs(t, err, unix.EACCES, "%v", p.Name)
			require.NotErrorIs(t, err, discover.ErrStale)
			return
		}
	})
}
