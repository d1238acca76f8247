package sys_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

func TestKernelThreads(t *testing.T) {
	if name, _ := os.ReadFile("/proc/2/comm"); string(name) != "kthreadd\n" {
		testutil.Skip(t, "needs the machine's PID namespace, which has the kernel's threads")
	}
	for _, restore := range []func() func(){func() func() { return func() {} }, func() func() { return sys.Pretend(sys.PidfdInfo) }} {
		back := restore()
		for pid, want := range map[int]bool{2: true, os.Getpid(): false} {
			p, err := sys.OpenProcess(pid)
			require.NoError(t, err)
			require.Equal(t, want, p.IsKernelThread(), "process %d", pid)
			require.NoError(t, p.Close())
		}
		back()
	}
}
