package discover_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// TestChurn has six hundred processes at a time come and go while discoveries run, some in namespaces of their own.
func TestChurn(t *testing.T) {
	testutil.NeedRoot(t)
	checkLeaks(t)
	discoveries, churners := 200, 600
	if os.Getenv(withoutIterators) != "" {
		discoveries = 40
	}
	if testing.Short() {
		discoveries, churners = 10, 60
	}
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	ctx, cancel := context.WithCancel(context.Background())
	var churn sync.WaitGroup
	for i := range churners {
		churn.Go(func() {
			lives := strconv.Itoa(i%4) + ".5" // seconds
			for n := i; ctx.Err() == nil; n++ {
				args := []string{"sleep", lives}
				if n%8 == 0 {
					args = []string{"unshare", "-n", "-u", "-i", "-m", "sleep", lives}
				}
				_ = exec.CommandContext(ctx, args[0], args[1:]...).Run()
			}
		})
	}
	defer churn.Wait()
	defer cancel()
	enough := time.Now().Add(2 * time.Minute) // on a machine that is busy already
	for i := range discoveries {
		if i >= 20 && time.Now().After(enough) {
			t.Logf("only %d discoveries", i)
			break
		}
		opts := discover.Options{}
		if i%4 == 0 {
			opts.Sources = discover.Full
		}
		r, err := discover.Discover(context.Background(), opts)
		require.NoError(t, err)
		for kind := range species.Set(species.AllNS).All() {
			id, _ := species.IDwithType(target.NamespaceLink(kind))
			n := r.Namespace(id)
			require.NotNil(t, n, "%v", id)
			require.Equal(t, target.PID, n.Leader.PID)
		}
	}
}

func TestOddNames(t *testing.T) {
	dir := t.TempDir()
	name := ") S\n\xff("
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	program, err := os.ReadFile(sleep)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), program, 0o700))
	cmd := exec.Command(filepath.Join(dir, name), "1000")
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	r := full(t)
	p := r.Process(cmd.Process.Pid)
	require.Equal(t, name, p.Name)
	require.Equal(t, []string{filepath.Join(dir, name), "1000"}, p.Cmdline)
	text, err := r.MarshalJSON()
	require.NoError(t, err)
	var again discover.Result
	require.NoError(t, again.UnmarshalJSON(text))
	require.Equal(t, name, again.Process(cmd.Process.Pid).Name)
}

func TestZombie(t *testing.T) {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/stat")
		return strings.Contains(string(text), ") Z ")
	}, patience, tick)
	r := full(t)
	p := r.Process(cmd.Process.Pid)
	require.NotNil(t, p)
	require.EqualValues(t, 'Z', p.State)
	require.Empty(t, p.Cmdline)
	require.NotNil(t, p.Namespaces.Of(species.CLONE_NEWUSER))
	require.Equal(t, os.Getpid(), p.Parent.PID)
}

// TestChrootedLeader has a process whose mountinfo does not show the pin beside its root, with few mounts and with many.
func TestChrootedLeader(t *testing.T) {
	for _, setup := range []string{"", "for i in $(seq 60); do mount --bind /mnt /mnt; done; "} {
		requirePinBesideRoot(t, setup)
	}
}

func requirePinBesideRoot(t *testing.T, setup string) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "busybox", "unshare", "chroot")
	dir := t.TempDir()
	busybox, err := exec.LookPath("busybox")
	require.NoError(t, err)
	program, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "busybox"), program, 0o700))
	script := `mount -t tmpfs t /mnt; ` + setup + `touch /mnt/pin; unshare --net=/mnt/pin true; stat -L -c %i /mnt/pin >` + dir + `/ino
exec chroot ` + dir + ` /busybox sleep 1000`
	cmd := exec.Command("unshare", "-m", "sh", "-c", script)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	require.Eventually(t, func() bool {
		root, _ := os.Readlink("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/root")
		return root == dir
	}, 4*patience, tick)
	text, err := os.ReadFile(dir + "/ino")
	require.NoError(t, err)
	ino, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	require.NoError(t, err)
	r, err := discover.Discover(t.Context(), discover.Options{})
	require.NoError(t, err)
	for range 3 {
		requireTruth(t, r, []truth{{"pin", species.CLONE_NEWNET, ino}})
		for _, ref := range r.Namespace(species.NamespaceIDFromInode(ino)).References {
			if ref.Kind != discover.ByFD || ref.PID == pid() { // another discovery's, for a moment
				require.Zero(t, ref.PID, "%v: the process does not see it", ref)
			}
		}
		r, err = discover.Rescan(t.Context(), r)
		require.NoError(t, err)
	}
}

// TestManyMounts has a mount namespace with nearly as many mounts as are allowed, ten on each file.
func TestManyMounts(t *testing.T) {
	testutil.NeedRoot(t)
	if testing.Short() {
		testutil.Skip(t, "takes seconds")
	}
	const mounts, files = 98_000, 9_800
	dir := t.TempDir()
	var ino uint64
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		require.NoError(t, unix.Mount("t", dir, "tmpfs", 0, ""))
		for i := range mounts {
			file := dir + "/" + strconv.Itoa(i%files)
			if i < files {
				require.NoError(t, os.WriteFile(file, nil, 0o600))
			}
			require.NoError(t, unix.Mount("/dev/null", file, "", unix.MS_BIND, ""))
		}
		ino = inodeOf(t, "/proc/thread-self/ns/mnt")
	})
	r := full(t)
	n := r.Namespace(species.NamespaceIDFromInode(ino))
	require.NotNil(t, n)
	at := slices.IndexFunc(r.Mounts, func(m *discover.MountTable) bool { return m.Namespace == n })
	require.GreaterOrEqual(t, len(r.Mounts[at].Mounts), mounts)
}

// TestOtherProc reads a proc file system of a PID namespace below ours.
func TestOtherProc(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	dir := target.Root() + "/proc"
	r, err := discover.Discover(t.Context(), discover.Options{Proc: dir, Sources: discover.Standard &^ discover.Mounts})
	require.NoError(t, err)
	require.NotNil(t, r.Process(1))
	for kind := range species.Set(species.AllNS).All() {
		require.Equal(t, target.NamespaceLink(kind), r.Process(1).Namespaces.Of(kind).String())
	}
	require.Equal(t, []int{1}, discover.NSpid(r.Process(1)))
}

// TestInsideAContainer runs a discovery in a PID namespace with a /proc of its own.
func TestInsideAContainer(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	if os.Getenv("NSOPS_TEST_INSIDE") != "" {
		r := full(t)
		require.Equal(t, 1, r.Processes[0].PID)
		require.Less(t, len(r.Processes), 10)
		n := r.Process(1).Namespaces.Of(species.CLONE_NEWPID)
		require.NotNil(t, n)
		require.Equal(t, []*discover.Namespace{n}, r.PIDRoots())
		require.True(t, n.ParentHidden)
		all := inThisProcess(t)
		all = append(all, tunTap(t))
		all = append(all, pinned(t)...)
		all = append(all, processLess(t)...)
		all = append(all, pinnedMounts(t)...)
		r = full(t)
		requireTruth(t, r, all)
		again, err := discover.Rescan(t.Context(), r)
		require.NoError(t, err)
		requireTruth(t, again, all)
		return
	}
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--uts", "--ipc", "--net",
		"/proc/self/exe", "-test.run=^TestInsideAContainer$", "-test.v")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd.Args[7] = self
	cmd.Env = append(os.Environ(), "NSOPS_TEST_INSIDE=1")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS")
}

func TestHidepid(t *testing.T) {
	testutil.NeedRoot(t)
	dir := t.TempDir()
	cmd := exec.Command("unshare", "-m", "sh", "-c", "mount -t proc -o hidepid=2 proc "+dir+"; exec cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}()
	proc := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/root" + dir
	require.Eventually(t, func() bool { _, err := os.Stat(proc + "/self"); return err == nil }, patience, tick)
	_, err = discover.Discover(t.Context(), discover.Options{Proc: proc})
	require.NoError(t, err)
}

// TestFIFOInPlaceOfAPin has something in the place of a pin that hangs whoever opens it.
func TestFIFOInPlaceOfAPin(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS), Setup: `
mount -t tmpfs pins /mnt; touch /mnt/pin; mkfifo /mnt/fifo
unshare --net=/mnt/pin true; mount --bind /mnt/fifo /mnt/pin`})
	start := time.Now()
	full(t)
	require.Less(t, time.Since(start), patience)
}

func TestMountTables(t *testing.T) {
	testutil.NeedRoot(t)
	var first *os.File // with a low number, but found late
	briefly(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		var err error
		first, err = os.Open("/proc/thread-self/ns/mnt")
		require.NoError(t, err)
	})
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS), Setup: `
mount -t tmpfs a /mnt; mkdir -p /mnt/x/y; mount -t tmpfs b /mnt/x/y; mount -t tmpfs c /mnt/x; mount -t tmpfs d /mnt/x`})
	start(t, []*os.File{first}, "cat")
	require.NoError(t, first.Close())
	r := full(t)
	n := r.Process(target.PID).Namespaces.Of(species.CLONE_NEWNS)
	at := slices.IndexFunc(r.Mounts, func(m *discover.MountTable) bool { return m.Namespace == n })
	table := r.Mounts[at]
	hidden := map[string]bool{}
	for _, m := range table.Mounts {
		if m.Type == "tmpfs" && len(m.Source) == 1 {
			hidden[m.Source] = m.Hidden
		}
	}
	require.Equal(t, map[string]bool{"a": false, "b": true, "c": true, "d": false}, hidden)
	require.Equal(t, "d", table.Path("/mnt/x").Visible().Source)
	require.Equal(t, "/mnt", table.Path("/mnt/x").Parent.Path)
	require.Nil(t, table.Path("/mnt/x/y").Visible())
	var sorted []uint64
	for _, m := range r.Mounts {
		require.NotEmpty(t, m.Mounts, "%v", m.Namespace)
		sorted = append(sorted, m.Namespace.ID.Ino)
	}
	require.Greater(t, len(sorted), 2)
	require.IsIncreasing(t, sorted)
	lines := strings.Count(target.MountTable(), "\n")
	require.Len(t, table.Mounts, lines)
}

func TestNothingIsWritten(t *testing.T) {
	testutil.NeedCommand(t, "strace")
	if os.Getenv("NSOPS_TEST_TRACED") != "" {
		full(t)
		full(t) // the first of a small machine is without a snapshot
		return
	}
	if os.Geteuid() == 0 {
		inThisProcess(t)
		processLess(t) // is joined
		pinned(t)
		pinnedMounts(t)
	}
	self, err := os.Executable()
	require.NoError(t, err)
	output := filepath.Join(t.TempDir(), "trace")
	const traced = "setns,unshare,mount,umount2,write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,creat,open,openat,openat2," +
		"rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,mknod,mknodat,chmod,fchmod,fchmodat," +
		"chown,fchown,lchown,fchownat,utimensat,setxattr,fsetxattr,chdir,fchdir,chroot,pivot_root,kill,ptrace,sendto,sendmsg,connect,bind," +
		"splice,sendfile,copy_file_range,fork,vfork"
	cmd := exec.Command("strace", "-f", "-o", output, "-e", "trace="+traced,
		self, "-test.run=^TestNothingIsWritten$")
	cmd.Env = append(os.Environ(), "NSOPS_TEST_TRACED=1")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	trace, err := os.ReadFile(output)
	require.NoError(t, err)
	joined, joins := map[string]bool{}, 0
	for line := range strings.Lines(string(trace)) {
		tid, call, _ := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		switch {
		case strings.HasPrefix(call, "unshare(CLONE_FS)"), strings.HasPrefix(call, "unshare(CLONE_FS <unfinished"):
			joined[tid] = true
		case strings.HasPrefix(call, "setns("):
			joins++
			require.True(t, joined[tid], "not on a thread that is thrown away: %s", line)
		case strings.HasPrefix(call, "write("):
			require.Regexp(t, `^write\((1|2|\d+, "\\0|\d+, "\\1)`, call, "of the test, or of the Go runtime to itself")
		case strings.HasPrefix(call, "open"):
			require.NotRegexp(t, `O_WRONLY|O_RDWR|O_CREAT`, strings.ReplaceAll(call, "/dev/null", ""))
		case strings.HasPrefix(call, "syscall_0x1"), strings.HasPrefix(call, "list"), strings.HasPrefix(call, "statmount("):
			// listns, listmount and statmount, which strace may not know
		case strings.HasPrefix(call, "+++"), strings.HasPrefix(call, "---"), strings.HasPrefix(call, "<..."),
			strings.HasPrefix(call, "???("): // a thread that ended meanwhile
		default:
			require.Fail(t, "neither reads nor asks", line)
		}
	}
	_, _, listns := unix.Syscall(unix.SYS_LISTNS, 0, 0, 0) // where that is known, handles open what was joined before (6.19)
	require.True(t, joins > 0 || os.Geteuid() != 0 || listns != unix.ENOSYS, "something had to be joined")
}
