package scan

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// opened returns a scan that has not begun to look.
func opened(t *testing.T) *scan {
	t.Helper()
	return openedWith(t, func(*Options) {})
}

func openedWith(t *testing.T, change func(*Options)) *scan {
	t.Helper()
	opts := standard
	change(&opts)
	s := newScan(t.Context(), opts, nil)
	t.Cleanup(s.close)
	require.NoError(t, s.openProc())
	s.takeSnapshot()
	s.prepare()
	return s
}

// standard are the options of package discover's zero Options.
var standard = Options{
	Types:    species.Set(species.AllNS),
	Sources:  facts.Processes | facts.Tasks | facts.FDs | facts.Sockets | facts.Mounts | facts.Hierarchy | facts.Ownership | facts.Cgroups | facts.Details,
	Proc:     "/proc",
	Patience: time.Second,
}

// TestDuplicatesAreNotThePrograms has another discovery begin while one has a duplicate of somebody's socket.
func TestDuplicatesAreNotThePrograms(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	pidfd, errno := raw.OpenPidfd(os.Getpid(), false)
	require.Zero(t, errno)
	defer raw.CloseNoWait(pidfd)
	look := descriptorLook{worker: &worker{caller: &caller{}}, of: subject{pid: os.Getpid(), pidfd: pidfd}}
	own, errno := look.duplicate(facts.Sockets, pair[0])
	require.Zero(t, errno)
	next := opened(t)
	next.releaseSelf()
	next.lookAtSelf(next.caller.read)
	require.Contains(t, next.ownFDs, pair[0])
	require.NotContains(t, next.ownFDs, own)
	ours.drop(own)
	require.False(t, ours.hold(own))
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
	look := descriptorLook{worker: s.workers[0], of: subject{pid: os.Getpid(), pidfd: pidfd}, in: &facts.Links{}}
	for _, other := range []int{namespace, pair[1]} {
		look.socket(other, st.Ino)
		require.Empty(t, look.worker.found)
		require.Empty(t, look.worker.problems)
	}
	look.socket(pair[0], st.Ino)
	require.Len(t, look.worker.found, 1)
}
