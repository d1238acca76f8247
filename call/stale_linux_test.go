package call_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

func init() {
	// "reuse" is the init of a PID namespace. It gives a target's PID to another process, and calls.
	roles["reuse"] = func(args []string) {
		call.HandleReexec()
		if args[0] == "fallback" {
			defer sys.Pretend(sys.PidfdInode)()
		}
		check(unix.Mount("proc", "/proc", "proc", 0, ""))
		first := startAs(300)
		c := call.NewCall("look").TargetPid(300)
		check(c.SpawnInNamespaces(nil))
		check(first.Process.Kill())
		_ = first.Wait()
		fmt.Println("gone:", c.SpawnInNamespaces(nil))
		if args[0] == "fallback" { // only the start time can be compared, in clock ticks
			unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil)
		}
		second := startAs(300)
		fmt.Println("reused:", c.SpawnInNamespaces(nil))
		fmt.Println("switch:", c.SwitchToNamespaces())
		check(second.Process.Kill())
		_ = second.Wait()
	}
}

// startAs starts a process with that PID.
func startAs(pid int) *exec.Cmd {
	for range 100 {
		check(os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0))
		cmd := exec.Command("/bin/sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUTS | unix.CLONE_NEWNET}
		check(cmd.Start())
		if cmd.Process.Pid == pid {
			return cmd
		}
		check(cmd.Process.Kill()) // a thread of ours was faster
		_ = cmd.Wait()
	}
	panic("no process got that PID")
}

func TestReusedPIDIsStale(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	for _, how := range []string{"inode", "fallback"} {
		cmd := role(t, "reuse", how)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS}
		cmd.Path = testBinary(t)
		r := run(t, cmd)
		require.Zero(t, r.Code, r.Stdout+r.Stderr)
		lines := strings.Split(r.Stdout, "\n")
		require.Contains(t, lines[0], "gone: ", how)
		require.Contains(t, lines[0], "no such process")
		require.Contains(t, lines[1], "reused: ")
		require.Contains(t, lines[1], call.ErrStale.Error(), how)
		require.Contains(t, lines[2], call.ErrStale.Error(), how)
	}
}

func TestTargetThatEndedBetween(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	c := call.NewCall("nothing").TargetPid(target.PID)
	require.NoError(t, c.SpawnInNamespaces(nil))
	require.NoError(t, unix.Kill(target.PID, unix.SIGKILL))
	waitUntil(t, func() bool { return gone(target.PID) }, "it ends")
	require.ErrorIs(t, requireError(t, c.SpawnInNamespaces(nil), call.StageTarget), unix.ESRCH, "a zombie")
	target.Stop()
	require.ErrorIs(t, requireError(t, c.SpawnInNamespaces(nil), call.StageTarget), unix.ESRCH, "no process")
}

func TestIdentityTellsProcessesApart(t *testing.T) {
	for _, fallback := range []bool{false, true} {
		if fallback {
			defer sys.Pretend(sys.PidfdInode)()
		}
		time.Sleep(20 * time.Millisecond) // two clock ticks: before Linux 6.9 only the start time can be compared
		own, other := identity(t, os.Getpid()), identity(t, sleeping(t))
		require.NotEqual(t, own, other)
		require.NotEqual(t, sys.Identity{}, own)
		require.Equal(t, own, identity(t, os.Getpid()))
	}
}

// sleeping returns the PID of a child that sleeps until the test ends.
func sleeping(t testing.TB) int {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func identity(t testing.TB, pid int) sys.Identity {
	t.Helper()
	p, err := sys.OpenProcess(pid)
	require.NoError(t, err)
	defer func() { _ = p.Close() }()
	id, err := p.Identity()
	require.NoError(t, err)
	return id
}
