package sys_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/sys"
)

func TestStatOfARealProcess(t *testing.T) {
	own, err := sys.OpenProcess(os.Getpid())
	require.NoError(t, err)
	defer func() { _ = own.Close() }()
	stat, err := own.Stat()
	require.NoError(t, err)
	require.False(t, stat.KernelThread)
	require.NotZero(t, stat.Start)

	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	child, err := sys.OpenProcess(cmd.Process.Pid)
	require.NoError(t, err)
	defer func() { _ = child.Close() }()
	require.True(t, child.Alive())
	require.NoError(t, stdin.Close())
	require.NoError(t, cmd.Wait())
	require.False(t, child.Alive())
	_, err = child.Stat()
	require.ErrorContains(t, err, "no such process")
}
