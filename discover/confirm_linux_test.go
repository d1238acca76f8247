package discover

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

// unconfirmed returns a scan that has looked at all processes, and the index of our own.
func unconfirmed(t *testing.T) (s *scan, own int) {
	t.Helper()
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 18)
	opened(t) // the first of a program may do without a snapshot
	s = opened(t)
	require.NotNil(t, s.snapshot)
	s.startWorkers()
	s.share(len(s.pids), (*worker).process)
	own = slices.Index(s.pids, os.Getpid())
	require.NotZero(t, s.texts[own].cmdline)
	require.NotNil(t, s.texts[own].cgroup)
	return s, own
}

// TestSecondLookAfterPIDReuse has the second look find another process where /proc was read.
func TestSecondLookAfterPIDReuse(t *testing.T) {
	s, own := unconfirmed(t)
	s.confirm()
	require.NotZero(t, s.texts[own].cmdline)
	s.texts[own].start++
	s.confirm()
	require.Zero(t, s.texts[own].cmdline)
}

// TestSecondLookAfterMoveOfCgroup has the second look find a process in another cgroup than that which was read of it.
func TestSecondLookAfterMoveOfCgroup(t *testing.T) {
	s, own := unconfirmed(t)
	p, text := &s.processes[own], &s.texts[own]
	elsewhere := groups{&cgroup{in: &container.Membership{Path: "/elsewhere"}}, p.PID, text.start}
	p.groups++
	text.worker.groups[p.groups], text.cgroup = elsewhere, elsewhere.cgroup
	s.confirm()
	require.NotNil(t, text.cgroup)
	require.NotEqual(t, "/elsewhere", text.cgroup.in.Path)
}

// TestSecondLookFails has nothing unconfirmed stay, and says so.
func TestSecondLookFails(t *testing.T) {
	s, own := unconfirmed(t)
	defer sys.Pretend(sys.TaskIterators)()
	s.confirm()
	require.Zero(t, s.texts[own].cmdline)
	require.Contains(t, s.workers[0].problems, Problem{Source: Details, Errno: unix.ENOSYS})
}
