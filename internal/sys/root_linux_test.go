package sys_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

// TestIsRoot is true of nothing but the root of the calling thread: another directory or another mount of it is not it.
func TestIsRoot(t *testing.T) {
	testutil.CheckLeaks(t)
	for path, want := range map[string]bool{"/": true, "/proc": false, "/etc": false, t.TempDir(): false} {
		require.Equal(t, want, isRoot(t, path), path)
	}
}

func isRoot(t testing.TB, path string) bool {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	dir := sys.NewFD(fd)
	defer func() { _ = dir.Close() }()
	return sys.IsRoot(dir)
}

// TestIsRootAsksNoServer has the directory be that of a file system whose server never answers, in a process that can be
// killed if it waits for it.
func TestIsRootAsksNoServer(t *testing.T) {
	const marker = "NSOPS_TEST_ROOT_OF_FUSE"
	if point := os.Getenv(marker); point != "" {
		server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		defer func() { _ = unix.Close(server) }()
		options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", server, unix.S_IFDIR)
		require.NoError(t, unix.Mount("hung", point, "fuse", 0, options))
		require.False(t, isRoot(t, point))
		require.NoError(t, unix.Unmount(point, unix.MNT_DETACH))
		return
	}
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	testutil.CheckLeaks(t)
	if _, err := os.Stat("/dev/fuse"); err != nil {
		testutil.Skip(t, "needs /dev/fuse: "+err.Error())
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("unshare", "-m", self, "-test.run=^TestIsRootAsksNoServer$", "-test.v")
	cmd.Env = append(os.Environ(), marker+"="+t.TempDir())
	timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	output, err := cmd.CombinedOutput()
	require.True(t, timer.Stop(), "it waits for the server: %s", output)
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: TestIsRootAsksNoServer", "%s", output)
}
