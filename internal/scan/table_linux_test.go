package scan

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// tableOf returns a table with a namespace of this thread, and a namespace that a kernel would tell of.
func tableOf(t *testing.T, kind species.NamespaceType) (*table, *entry) {
	t.Helper()
	dev, err := sys.NsfsDevice()
	require.NoError(t, err)
	opts := standard
	table := newTable(dev, &opts)
	t.Cleanup(table.release)
	fd, err := sys.OpenThreadNamespace(kind)
	require.NoError(t, err)
	return table, table.opened(fd.Disown(), kind)
}

func TestNumberOfANamespaceThatIsGone(t *testing.T) {
	testutil.NeedKernel(t, 6, 18)
	uts, err := sys.OpenThreadNamespace(species.CLONE_NEWUTS)
	require.NoError(t, err)
	handle, err := sys.HandleOf(uts.Int())
	require.NoError(t, uts.Close())
	require.NoError(t, err)
	const never = 1 << 62 // was a namespace with that 64-bit ID
	for _, order := range [][2]uint64{{never, handle.Serial}, {handle.Serial, never}} {
		table, owner := tableOf(t, species.CLONE_NEWUSER)
		table.serials, table.handles = true, true
		for _, serial := range order {
			told := taskiter.Namespace{Serial: serial, Owner: owner.serial, Inode: handle.Inode}
			n := table.described(told, species.CLONE_NEWUTS)
			require.Equal(t, serial == never && order[0] != never, n.state == gone)
			require.Equal(t, serial, n.serial)
			require.Same(t, owner, n.owner)
		}
		require.Nil(t, table.withSerial(never))
		require.Equal(t, handle.Serial, table.withInode(uint64(handle.Inode)).serial)
	}
}

// TestDescribedTwice has two workers find the same namespace new.
func TestDescribedTwice(t *testing.T) {
	table, owner := tableOf(t, species.CLONE_NEWUSER)
	if owner.serial == 0 {
		testutil.NeedKernel(t, 6, 18)
	}
	described := taskiter.Namespace{Serial: 1 << 62, Owner: owner.serial, Inode: 7}
	n := table.described(described, species.CLONE_NEWUTS)
	require.Same(t, n, table.described(described, species.CLONE_NEWUTS))
	require.Equal(t, known, n.state)
	require.Same(t, n, table.withSerial(1<<62))
}

// TestOwnerWithoutSerial takes over a mount namespace on a kernel where only these have 64-bit IDs.
func TestOwnerWithoutSerial(t *testing.T) {
	table, owner := tableOf(t, species.CLONE_NEWUSER)
	owner.serial = 0
	old := &facts.Facts{Namespaces: []facts.Namespace{
		{Inode: 1, Serial: 7, Type: species.CLONE_NEWNS, Owner: 2},
		{Inode: owner.inode, Type: owner.kind},
	}}
	n := table.remembered(old, &old.Namespaces[0])
	require.Same(t, owner, n.owner)
	require.Equal(t, known, owner.state)
	require.Same(t, n, table.remembered(old, &old.Namespaces[0]))
}

// TestNoProblemOfANamespaceThatIsGone has the last process of a mount namespace end before its mounts are looked at.
func TestNoProblemOfANamespaceThatIsGone(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 18)
	s := opened(t)
	s.startWorkers()
	n := s.table.see(entry{inode: 1, serial: 1 << 60, kind: species.CLONE_NEWNS, fd: raw.NoFD, state: known})
	s.mounts.todo, s.mounts.tables = []*entry{n}, make([]facts.MountTable, 1)
	s.workers[0].mountsOf(0)
	require.Equal(t, gone, n.state)
	require.Empty(t, s.workers[0].problems)
}

// TestMountsOfANamespaceThatIsGone: JSON with these could not be read.
func TestMountsOfANamespaceThatIsGone(t *testing.T) {
	table, left := tableOf(t, species.CLONE_NEWNS)
	left.state = gone
	s := &scan{opts: standard, table: table}
	s.mounts.all = []facts.MountTable{{Namespace: left.ref}}
	f := s.collect()
	require.Zero(t, f.Find(left.kind, left.inode))
	require.Empty(t, f.Mounts)
}

// TestMountNamespaceEndsMeanwhile has one end before its mounts are looked at: that is no Problem, unlike one of which
// nothing can be known.
func TestMountNamespaceEndsMeanwhile(t *testing.T) {
	testutil.NeedKernel(t, 6, 18)
	table, owner := tableOf(t, species.CLONE_NEWUSER)
	table.serials, table.handles = true, true
	const never = 1 << 62
	ended := table.described(taskiter.Namespace{Serial: never, Owner: owner.serial, Inode: 1}, species.CLONE_NEWNS)
	require.NotNil(t, ended)
	unknown, _ := table.mentioned(2, species.CLONE_NEWNS)
	s := newScan(t.Context(), standard, nil)
	s.table = table
	s.mounts.todo, s.mounts.tables = []*entry{ended, unknown}, make([]facts.MountTable, 2)
	w := newWorker(s)
	for i := range s.mounts.todo {
		w.mountsOf(i)
	}
	require.Len(t, w.problems, 1)
	require.Equal(t, unknown.inode, w.problems[0].Namespace)
}
