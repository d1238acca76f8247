package discover

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// tableOf returns a table with a namespace of this thread, and a namespace that a kernel would tell of.
func tableOf(t *testing.T, kind species.NamespaceType) (*table, *Namespace) {
	t.Helper()
	dev, err := sys.NsfsDevice()
	require.NoError(t, err)
	opts := Options{}.withDefaults()
	table := newTable(dev, &opts)
	t.Cleanup(table.release)
	fd, err := sys.OpenThreadNamespace(kind)
	require.NoError(t, err)
	return table, table.learn(fd.Disown(), kind)
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
			told := taskiter.Namespace{Serial: serial, Owner: owner.Serial, Inode: handle.Inode}
			n := table.believe(told, species.CLONE_NEWUTS)
			require.Equal(t, serial == never && order[0] != never, n.gone)
			require.Equal(t, serial, n.Serial)
			require.Same(t, owner, n.Owner)
		}
		require.Nil(t, table.withSerial(never))
		require.Equal(t, handle.Serial, table.known(uint64(handle.Inode)).Serial)
	}
}

// TestOwnerWithoutSerial takes over a mount namespace on a kernel where only these have 64-bit IDs.
func TestOwnerWithoutSerial(t *testing.T) {
	table, owner := tableOf(t, species.CLONE_NEWUSER)
	owner.Serial = 0
	old := &Namespace{ID: species.NamespaceID{Ino: 1}, Serial: 7, Type: species.CLONE_NEWNS,
		Owner: &Namespace{ID: owner.ID, Type: owner.Type}}
	n := table.takeOver(old)
	require.Same(t, owner, n.Owner)
	require.False(t, owner.gone)
	require.Same(t, n, table.takeOver(old))
}

// TestNoProblemOfANamespaceThatIsGone has the last process of a mount namespace end before its mounts are looked at.
func TestNoProblemOfANamespaceThatIsGone(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 18)
	s := opened(t)
	s.startWorkers()
	n := s.table.told(1, 1<<60, species.CLONE_NEWNS)
	s.mounts.todo, s.mounts.tables = []*Namespace{n}, make([]*MountTable, 1)
	s.workers[0].mountsOf(0)
	require.True(t, n.gone)
	require.Empty(t, s.workers[0].problems)
}

// TestMountsOfANamespaceThatIsGone: JSON with these could not be read.
func TestMountsOfANamespaceThatIsGone(t *testing.T) {
	table, left := tableOf(t, species.CLONE_NEWNS)
	left.gone = true
	s := &scan{opts: Options{}.withDefaults(), table: table}
	r := &Result{Mounts: []*MountTable{{Namespace: left}}}
	s.choose(r)
	require.Nil(t, r.Namespace(left.ID))
	require.Empty(t, r.Mounts)
}

// TestMountNamespaceEndsMeanwhile has one end before its mounts are looked at: that is no Problem, unlike one of which
// nothing can be known.
func TestMountNamespaceEndsMeanwhile(t *testing.T) {
	testutil.NeedKernel(t, 6, 18)
	table, owner := tableOf(t, species.CLONE_NEWUSER)
	table.serials, table.handles = true, true
	const never = 1 << 62
	gone := table.believe(taskiter.Namespace{Serial: never, Owner: owner.Serial, Inode: 1}, species.CLONE_NEWNS)
	require.NotNil(t, gone)
	unknown, _ := table.mention(2, species.CLONE_NEWNS)
	s := &scan{opts: Options{}.withDefaults(), table: table, reader: sys.NewProcReader()}
	s.mounts.todo, s.mounts.tables = []*Namespace{gone, unknown}, make([]*MountTable, 2)
	w := newWorker(s, 0)
	for i := range s.mounts.todo {
		w.mountsOf(i)
	}
	require.Len(t, w.problems, 1)
	require.Equal(t, unknown.ID, w.problems[0].Namespace)
}
