package discover_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

// TestNoSnapshot discovers where bpf(2) ends the program.
func TestNoSnapshot(t *testing.T) {
	const marker = "NSOPS_TEST_FILTERED"
	if how := os.Getenv(marker); how != "" {
		endOn(t, unix.SYS_BPF)
		for range 2 { // the first may do without in any case
			_, err := discover.Discover(t.Context(), discover.Options{NoSnapshot: how == "without"})
			require.NoError(t, err)
		}
		return
	}
	testutil.NeedRoot(t)
	self, err := os.Executable()
	require.NoError(t, err)
	for _, how := range []string{"with", "without"} {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestNoSnapshot$")
		cmd.Env = append(os.Environ(), marker+"="+how)
		output, err := cmd.CombinedOutput()
		if how == "without" || os.Getenv(withoutIterators) != "" || !sys.Have(sys.TaskIterators) {
			require.NoError(t, err, "%s", output)
			continue
		}
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		require.True(t, ok)
		require.Equal(t, unix.SIGSYS, status.Signal(), "the filter works: %s", output)
	}
}

// endOn has a system call end the process.
func endOn(t *testing.T, call uint32) {
	t.Helper()
	const number, killProcess, allow = 0, unix.SECCOMP_RET_KILL_PROCESS, unix.SECCOMP_RET_ALLOW
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: killProcess},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	const setFilter, allThreads = unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&program)))
	require.Zero(t, errno)
}
