package discover

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/sys"
)

// TestDuplicatesAreNotThePrograms has another discovery begin while one has a duplicate of somebody's socket.
func TestDuplicatesAreNotThePrograms(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	pidfd, errno := sys.QuickPidfd(os.Getpid(), false)
	require.Zero(t, errno)
	defer sys.QuickClose(pidfd)
	look := descriptorLook{subject: subject{pid: os.Getpid(), pidfd: pidfd}}
	own, errno := look.duplicate(pair[0])
	require.Zero(t, errno)
	next := &scan{ctx: t.Context(), opts: Options{}.withDefaults(), read: procfs.NewReader()}
	require.NoError(t, next.open())
	defer func() {
		next.releaseSelf()
		next.table.release()
		require.NoError(t, next.procFD.Close())
	}()
	next.releaseSelf()
	next.lookAtSelf(next.read)
	require.Contains(t, next.ownFDs, pair[0])
	require.NotContains(t, next.ownFDs, own)
	drop(own)
	require.False(t, beingHeld(own))
}
