package call_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "reaped" is the init of a PID namespace that ignores SIGCHLD. It makes a call, starts unrelated processes that get
	// the PID of the process that has forked the worker, and ends the call.
	roles["reaped"] = func([]string) {
		call.HandleReexec()
		check(unix.Mount("proc", "/proc", "proc", 0, ""))
		target := exec.Command("/bin/sleep", "1000")
		target.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
		check(target.Start())
		signal.Ignore(syscall.SIGCHLD)
		ctx, cancel := context.WithCancel(context.Background())
		stdout, done := &watched{seen: make(chan struct{})}, make(chan error)
		setLastPID(firstPID)
		go func() {
			c := call.NewCall("block").TargetPid(target.Process.Pid).Namespaces(species.CLONE_NEWPID)
			done <- c.Stdout(stdout).Context(ctx).SpawnInNamespaces(nil)
		}()
		<-stdout.seen
		strangers := fillPIDs(firstPID+1, firstPID+30)
		cancel()
		fmt.Println("error:", <-done)
		for _, pid := range strangers {
			if gone(pid) {
				fmt.Println("killed:", pid)
			}
		}
		fmt.Println("strangers:", len(strangers) > 0)
	}
}

// firstPID is the lowest PID of the processes and threads that the call creates.
const firstPID = 500

func setLastPID(pid int) {
	check(os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid)), 0))
}

// fillPIDs starts a process with a new group for each free PID, and returns the PIDs.
func fillPIDs(first, last int) (pids []int) {
	for pid := first; pid <= last; pid++ {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
			continue
		}
		setLastPID(pid - 1)
		cmd := exec.Command("/bin/sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(cmd.Start())
		pids = append(pids, cmd.Process.Pid)
	}
	return pids
}

// Another process may get the PID of a child that the kernel has reaped: it must not be killed.
func TestPIDOfAReapedChildIsNotKilled(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	cmd := role(t, "reaped")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS}
	cmd.Path = testBinary(t)
	r := run(t, cmd)
	require.Zero(t, r.Code, r.Stdout+r.Stderr)
	require.Regexp(t, `^error: .*context canceled\nstrangers: true\n$`, r.Stdout)
}
