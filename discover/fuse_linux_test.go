package discover_test

import (
	"context"
	"encoding/binary"
	"fmt"
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
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// mountHungFUSE mounts a file system whose server never answers, in the mount namespace of the calling thread, which
// should be one of the test's own. The end of the test takes the server away, and with it whoever waits for it.
func mountHungFUSE(t *testing.T, point string, kind uint32) {
	t.Helper()
	_ = mountFUSE(t, point, kind)
}

func mountFUSE(t *testing.T, point string, kind uint32) (server int) {
	t.Helper()
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		testutil.Skip(t, "needs /dev/fuse: "+err.Error())
	}
	closeLater(t, server)
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other", server, kind)
	require.NoError(t, unix.Mount("hung", point, "fuse", 0, options))
	return server
}

// hungFUSE returns a directory of such a file system, in which one can be, as the server answered up to now. It is
// mounted nowhere any more.
func hungFUSE(t *testing.T, enter func(dir string)) (root int) {
	t.Helper()
	dir := t.TempDir()
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		server := mountFUSE(t, dir, unix.S_IFDIR)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			answerFUSE(server, unix.S_IFDIR|0o755, stop)
		}()
		var err error
		root, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		closeLater(t, root)
		enter(dir)
		close(stop)
		<-stopped
	})
	return root
}

// answerFUSE answers what it takes to open an empty directory and to enter it, or to open and map a file, which cannot be
// read; see linux/fuse.h.
func answerFUSE(server int, mode uint32, stop <-chan struct{}) {
	const lookup, getattr, open, read, flush, initialize, opendir = 1, 3, 14, 15, 25, 26, 27
	request := make([]byte, 1<<17)
	for {
		select {
		case <-stop:
			return
		default:
		}
		ready := []unix.PollFd{{Fd: int32(server), Events: unix.POLLIN}}
		if n, _ := unix.Poll(ready, 5); n == 0 {
			continue
		}
		if n, err := unix.Read(server, request); err != nil || n < 40 {
			return
		}
		errno, body := int32(0), []byte(nil)
		switch binary.NativeEndian.Uint32(request[4:]) {
		case initialize:
			body = make([]byte, 64)
			binary.NativeEndian.PutUint32(body, 7)
			binary.NativeEndian.PutUint32(body[4:], 31)
			binary.NativeEndian.PutUint32(body[20:], 4096)
		case read:
			continue
		case flush:
		case getattr:
			body = make([]byte, 104) // valid for no time
			binary.NativeEndian.PutUint64(body[16:], 1)
			binary.NativeEndian.PutUint64(body[16+8:], 1<<20)
			binary.NativeEndian.PutUint32(body[16+60:], mode)
			binary.NativeEndian.PutUint32(body[16+64:], 2)
		case open, opendir:
			body = make([]byte, 16)
		case lookup:
			errno = -int32(unix.ENOENT)
		default:
			errno = -int32(unix.ENOSYS)
		}
		answer := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
		answer = binary.NativeEndian.AppendUint32(answer, uint32(errno))
		answer = append(append(answer, request[8:16]...), body...)
		_, _ = unix.Write(server, answer)
	}
}

// TestHungFUSE has a file system that does not answer over pins.
func TestHungFUSE(t *testing.T) {
	testutil.NeedRoot(t)
	dir := t.TempDir()
	var inode uint64
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		require.NoError(t, unix.Mount("t", dir, "tmpfs", 0, ""))
		require.NoError(t, os.Mkdir(dir+"/pins", 0o700))
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		for i := range 5 {
			pin := fmt.Sprintf("%s/pins/%d", dir, i)
			require.NoError(t, os.WriteFile(pin, nil, 0o600))
			fd := newNetwork(t)
			inode = inodeOfFD(t, fd)
			require.NoError(t, unix.Mount("/proc/thread-self/ns/net", pin, "", unix.MS_BIND, ""))
			require.NoError(t, unix.Close(fd))
		}
		require.NoError(t, unix.Setns(home, unix.CLONE_NEWNET))
		require.NoError(t, unix.Close(home))
		mountHungFUSE(t, dir+"/pins", unix.S_IFDIR)
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := discover.Discover(ctx, discover.Options{Patience: time.Hour})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), time.Second)
	})
	for name, opts := range map[string]discover.Options{
		"standard": {Patience: 50 * time.Millisecond},
		"full":     {Patience: 50 * time.Millisecond, Sources: discover.Full},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r, err := discover.Discover(context.Background(), opts)
			require.NoError(t, err)
			require.Less(t, time.Since(start), 6*patience, "a search takes long where many namespaces have been")
			n := r.Namespace(species.NamespaceIDFromInode(inode))
			require.NotNil(t, n, "it is known by number")
			if name == "standard" {
				timedOut := 0
				for _, p := range r.Problems {
					if p.Errno == unix.ETIMEDOUT && strings.HasPrefix(p.Path, dir) {
						timedOut++
					}
				}
				require.Equal(t, 5, timedOut, "%v", r.Problems)
			}
			start = time.Now()
			if f, err := n.Open(); err == nil {
				require.NoError(t, f.Close())
			}
			require.Less(t, time.Since(start), patience)
		})
	}
	t.Run("again and again", func(t *testing.T) {
		before := threads(t)
		for range 10 {
			_, err := discover.Discover(context.Background(), discover.Options{Patience: 50 * time.Millisecond})
			require.NoError(t, err)
		}
		require.LessOrEqual(t, threads(t), before+5, "threads that wait")
	})
}

// TestHungFUSEUnderAProcess has a process with such a root, working directory and open file.
func TestHungFUSEUnderAProcess(t *testing.T) {
	testutil.NeedRoot(t)
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	var root *os.File
	hungFUSE(t, func(dir string) {
		root, err = os.Open(dir)
		require.NoError(t, err)
		cmd.ExtraFiles = []*os.File{root}
		require.NoError(t, cmd.Start())
		pid := cmd.Process.Pid
		require.NoError(t, unix.Unshare(unix.CLONE_FS))
		require.NoError(t, unix.Chdir(dir))
		require.NoError(t, unix.Chroot("."))
		require.NotZero(t, pid)
	})
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		_ = root.Close()
	})
	start := time.Now()
	r := full(t)
	require.Less(t, time.Since(start), patience)
	p := r.Process(cmd.Process.Pid)
	require.NotNil(t, p)
	require.NotNil(t, p.Namespaces.Of(species.CLONE_NEWNET))
	at := slices.IndexFunc(r.Process(pid()).Tasks, func(task *discover.Task) bool {
		link, _ := os.Readlink("/proc/self/task/" + strconv.Itoa(task.TID) + "/root")
		return link != "/"
	})
	require.GreaterOrEqual(t, at, 0, "the thread with that root")
	require.NotNil(t, r.Process(pid()).Tasks[at].Namespaces.Of(species.CLONE_NEWNS))
}

func threads(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	return len(list)
}

// TestHungFUSEOfARuntime has one where a runtime keeps the names of its containers.
func TestHungFUSEOfARuntime(t *testing.T) {
	const marker = "NSOPS_TEST_HUNG_RUNTIME"
	if os.Getenv(marker) != "" {
		point := "/var/lib"
		mountHungFUSE(t, point, unix.S_IFDIR)
		start := time.Now()
		r, err := discover.Discover(context.Background(), discover.Options{Patience: 50 * time.Millisecond})
		require.NoError(t, err)
		require.Less(t, time.Since(start), patience)
		said := slices.DeleteFunc(r.Problems, func(p discover.Problem) bool { return p.Source != discover.Cgroups || p.Errno != unix.ETIMEDOUT })
		require.Len(t, said, 1, "it is said once, not of each container")
		return
	}
	testutil.NeedRoot(t)
	id := fmt.Sprintf("%064x", os.Getpid()) // several may be tested at once
	leader := inCgroup(t, unifiedHierarchy(t)+"/docker-"+id+".scope")
	r := standard(t)
	require.Equal(t, discover.Container{ID: id, Runtime: "docker", Cgroup: "/docker-" + id + ".scope"}, alone(r.Process(leader).Container))
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", self, "-test.run=^TestHungFUSEOfARuntime$", "-test.v")
	cmd.Env = append(os.Environ(), marker+"=1")
	output, _ := cmd.CombinedOutput() // it leaves a mount behind, which ends with it
	require.Contains(t, string(output), "--- PASS: TestHungFUSEOfARuntime", "%s", output)
}
