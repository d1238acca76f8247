package discover_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// What a process of this program is to be, other than one that tests.
const (
	leaderless = "NSOPS_TEST_LEADERLESS"
	restless   = "NSOPS_TEST_RESTLESS"
	confined   = "NSOPS_TEST_CONFINED"
)

// init makes a process that discovers with few descriptors, and no poller yet.
func init() {
	if os.Getenv(confined) == "" {
		return
	}
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 16, Max: 16})
	if err == nil {
		_, err = discover.Discover(context.Background(), discover.Options{})
	}
	if err != nil {
		panic(err)
	}
	os.Exit(0)
}

// TestFewDescriptorsAndNoPoller has pins, which are waited for, when there are hardly any descriptors left to wait with.
func TestFewDescriptorsAndNoPoller(t *testing.T) {
	testutil.NeedRoot(t)
	pinned(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), confined+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// init makes a process that goes from one namespace to the next.
func init() {
	if os.Getenv(restless) == "" {
		return
	}
	for unix.Unshare(unix.CLONE_NEWUTS|unix.CLONE_NEWIPC) == nil {
		time.Sleep(100 * time.Microsecond)
	}
	os.Exit(1)
}

// TestRestlessProcess has one leave namespaces whose numbers the next ones get.
func TestRestlessProcess(t *testing.T) {
	testutil.NeedRoot(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), restless+"=1")
	require.NoError(t, cmd.Start())
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	for range 200 {
		r := full(t)
		p := r.Process(cmd.Process.Pid)
		require.NotNil(t, p)
		for _, n := range p.Namespaces {
			require.NotNil(t, n)
			require.Same(t, n, r.Namespace(n.ID))
			require.Contains(t, n.Processes, p)
		}
	}
}

// init makes a process whose first thread has ended, while another one goes on, in namespaces and with descriptors of its
// own.
func init() {
	if os.Getenv(leaderless) == "" {
		return
	}
	runtime.LockOSThread()
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_NEWNS | unix.CLONE_FILES); err != nil {
			panic(err)
		}
		link, err := os.Readlink("/proc/thread-self/ns/uts")
		fd, openErr := unix.Open("/proc/thread-self/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil || openErr != nil {
			panic(link)
		}
		fmt.Println(link, unix.Gettid(), fd)
		select {}
	}()
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

func TestThreadsOfAZombie(t *testing.T) {
	testutil.NeedRoot(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leaderless+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	var link string
	var tid, fd int
	_, err = fmt.Sscan(line, &link, &tid, &fd)
	require.NoError(t, err)
	id, _ := species.IDwithType(link)
	pid := cmd.Process.Pid
	look := func() {
		r := full(t)
		require.Equal(t, "Z", string(r.Process(pid).State))
		n := r.Namespace(id)
		require.NotNil(t, n)
		holders := slices.Collect(n.Holders())
		require.Contains(t, holders, discover.Reference{Kind: discover.ByTask, PID: pid, TID: tid})
		require.Contains(t, holders, discover.Reference{Kind: discover.ByFD, PID: pid, TID: tid, FD: fd})
		require.Empty(t, r.Process(pid).Cmdline)
		f, err := n.Open()
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	require.Eventually(t, func() bool { return full(t).Process(pid).State == 'Z' }, patience, tick)
	look()
	defer sys.Pretend(sys.TaskIterators)()
	look()
}
