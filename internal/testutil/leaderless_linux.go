package testutil

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/species"
)

// leaderlessEnv is set in a process whose first thread must end.
const leaderlessEnv = "NSOPS_TEST_FIRST_THREAD_ENDS"

// init runs on the first thread and ends only that, as pthread_exit(3) in main() of a C program does.
func init() {
	if os.Getenv(leaderlessEnv) == "" {
		return
	}
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
}

// StartLeaderless starts a process in new namespaces of these types whose first thread has ended, while others run. The
// end of the test stops it.
func StartLeaderless(t testing.TB, types species.NamespaceType) *Target {
	t.Helper()
	if types != species.NaNS {
		NeedRoot(t)
	}
	asleep, wakeUp, err := os.Pipe()
	require.NoError(t, err)
	cmd := &exec.Cmd{Path: "/proc/self/exe", Env: []string{leaderlessEnv + "=1"}, Stdin: asleep, Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: uintptr(types)}}
	err = cmd.Start()
	_ = asleep.Close()
	if err != nil {
		_ = wakeUp.Close()
		t.Fatalf("start process with %s: %v", types, err)
	}
	target := Attach(t, cmd.Process.Pid, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = wakeUp.Close()
	})
	require.Eventually(t, func() bool {
		ended := readProcess(target.ProcDir()[len("/proc/"):]).state == "Z"
		return ended && len(list(target.ProcDir()+"/task")) > 1
	}, 20*time.Second, time.Millisecond, "its first thread ends")
	return target
}
