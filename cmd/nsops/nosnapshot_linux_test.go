package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/internal/testutil"
)

// TestNoSnapshotByVariable runs the command under a seccomp filter that ends it at bpf(2), without the variable and
// with it.
func TestNoSnapshotByVariable(t *testing.T) {
	const marker = "NSOPS_TEST_FILTERED"
	if os.Getenv(marker) != "" {
		endOnBPF(t)
		for _, args := range [][]string{{"ls"}, {"dump"}} { // the first discovery may do without in any case
			_, _, err := run(t, args...)
			require.NoError(t, err)
		}
		return
	}
	testutil.NeedRoot(t)
	_, err := taskiter.Read(false)
	testutil.NeedFeature(t, "snapshots", 6, 18, err)
	self, err := os.Executable()
	require.NoError(t, err)
	for _, value := range []string{"", "0"} {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestNoSnapshotByVariable$")
		cmd.Env = append(os.Environ(), marker+"=1", "NSOPS_NO_SNAPSHOT="+value)
		output, err := cmd.CombinedOutput()
		if value != "" {
			require.NoError(t, err, "%s", output)
			continue
		}
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		require.True(t, ok)
		require.Equal(t, unix.SIGSYS, status.Signal(), "the filter works: %s", output)
	}
}

// endOnBPF installs a filter that ends the process at bpf(2).
func endOnBPF(t *testing.T) {
	t.Helper()
	const number = 0 // where the filter finds that of the call
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_BPF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	require.Zero(t, errno)
}
