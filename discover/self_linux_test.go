package discover

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

// opened returns a scan that has not begun to look.
func opened(t *testing.T) *scan {
	t.Helper()
	s := &scan{ctx: t.Context(), opts: Options{}.withDefaults(), reader: sys.NewProcReader()}
	require.NoError(t, s.open())
	t.Cleanup(func() {
		s.releaseSelf()
		s.table.release()
		require.NoError(t, s.procFD.Close())
	})
	return s
}

// TestDuplicatesAreNotThePrograms has another discovery begin while one has a duplicate of somebody's socket.
func TestDuplicatesAreNotThePrograms(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	pidfd, errno := raw.OpenPidfd(os.Getpid(), false)
	require.Zero(t, errno)
	defer raw.CloseNoWait(pidfd)
	look := descriptorLook{worker: &worker{watch: &watch{}}, subject: subject{pid: os.Getpid(), pidfd: pidfd}}
	own, errno := look.duplicate(Sockets, pair[0])
	require.Zero(t, errno)
	next := opened(t)
	next.releaseSelf()
	next.lookAtSelf(next.reader)
	require.Contains(t, next.ownFDs, pair[0])
	require.NotContains(t, next.ownFDs, own)
	drop(own)
	require.False(t, beingHeld(own))
}

// TestSocketThatWasReplaced has another file under the number of a socket once that is asked. Others may have the socket,
// too.
func TestSocketThatWasReplaced(t *testing.T) {
	if os.Geteuid() == 0 {
		checkReplacedSocket(t)
		return
	}
	testutil.InUserns(t, checkReplacedSocket) // asking a socket for its namespace requires CAP_NET_ADMIN
}

func checkReplacedSocket(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	namespace, err := unix.Open("/proc/self/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _ = unix.Close(namespace) }()
	var st raw.Status
	require.Zero(t, raw.StatNoWait(pair[0], &st))
	pidfd, errno := raw.OpenPidfd(os.Getpid(), false)
	require.Zero(t, errno)
	defer raw.CloseNoWait(pidfd)
	s := opened(t)
	s.startWorkers()
	look := descriptorLook{worker: s.workers[0], subject: subject{pid: os.Getpid(), pidfd: pidfd}, in: &NamespacesSet{}, sockets: true}
	for _, other := range []int{namespace, pair[1]} {
		look.socket(other, st.Ino)
		require.Empty(t, look.found)
		require.Empty(t, look.problems)
	}
	look.socket(pair[0], st.Ino)
	require.Len(t, look.found, 1)
}
