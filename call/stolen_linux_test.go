package call_test

import (
	"fmt"
	"os/exec"
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
	// "robbed" is the init of a PID namespace. Other code reaps the child, and another process gets its PID.
	roles["robbed"] = func([]string) {
		call.HandleReexec()
		check(unix.Mount("proc", "/proc", "proc", 0, ""))
		first := startAs(300)
		child, err := sys.Adopt(300)
		check(err)
		check(first.Process.Kill())
		_ = first.Wait()
		setLastPID(299)
		second := exec.Command("/bin/sh", "-c", "exit 7")
		check(second.Start())
		for !gone(second.Process.Pid) {
			time.Sleep(time.Millisecond)
		}
		status, ok := child.Wait(time.Now())
		fmt.Println(second.Process.Pid, status.ExitStatus(), ok, second.Wait())
	}
}

func TestStatusOfAStrangerIsNotTaken(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	cmd := role(t, "robbed")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS}
	cmd.Path = testBinary(t)
	require.Equal(t, result{Stdout: "300 0 true exit status 7\n"}, run(t, cmd))
}
