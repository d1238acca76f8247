package discover_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/species"
)

// pinnedBy returns a result with a network namespace that is pinned in two mount namespaces, where these processes see it.
func pinnedBy(serial uint64, pids ...int) *discover.Result {
	r := &discover.Result{Device: 4}
	net := &discover.Namespace{ID: species.NamespaceID{Dev: 4, Ino: 9}, Serial: serial, Type: species.CLONE_NEWNET}
	for i, pid := range pids {
		mnt := &discover.Namespace{ID: species.NamespaceID{Dev: 4, Ino: uint64(i + 1)}, Type: species.CLONE_NEWNS}
		net.References = append(net.References, discover.Reference{Kind: discover.ByPin, PID: pid, MountNamespace: mnt, Path: "/pin"})
		r.Namespaces = append(r.Namespaces, mnt)
	}
	r.Namespaces = append(r.Namespaces, net)
	return r
}

// throughJSON returns a result sorted as all are.
func throughJSON(t *testing.T, r *discover.Result) *discover.Result {
	t.Helper()
	text, err := r.MarshalJSON()
	require.NoError(t, err)
	again := &discover.Result{}
	require.NoError(t, again.UnmarshalJSON(text))
	return again
}

// TestDiffOfWhoSeesPins has pins seen by other processes than before.
func TestDiffOfWhoSeesPins(t *testing.T) {
	before, after := throughJSON(t, pinnedBy(7, 10, 20)), throughJSON(t, pinnedBy(7, 30, 20))
	require.Equal(t, 30, after.Namespaces[2].References[0].PID)
	require.Equal(t, discover.Differences{}, discover.Diff(before, after))
	require.Len(t, discover.Diff(before, throughJSON(t, pinnedBy(7, 10))).Changed, 1)
}

// TestDiffOfReusedNumbers has the inode number go to another namespace.
func TestDiffOfReusedNumbers(t *testing.T) {
	before, after := pinnedBy(7), pinnedBy(8)
	require.Equal(t, discover.Differences{Created: after.Namespaces, Gone: before.Namespaces}, discover.Diff(before, after))
	require.Equal(t, discover.Differences{}, discover.Diff(before, pinnedBy(0)), "an older kernel does not say")
}

// TestDiffOfOwners has only the owner, its user ID or the parent differ.
func TestDiffOfOwners(t *testing.T) {
	user := &discover.Namespace{ID: species.NamespaceID{Dev: 4, Ino: 1}, Type: species.CLONE_NEWUSER}
	for _, change := range []func(*discover.Namespace){
		func(n *discover.Namespace) { n.Owner = user },
		func(n *discover.Namespace) { n.OwnerUID = 1000 },
		func(n *discover.Namespace) { n.Parent = user },
		func(n *discover.Namespace) { n.Tasks = 1 },
	} {
		before, after := pinnedBy(7), pinnedBy(7)
		change(after.Namespaces[0])
		require.Equal(t, []discover.Change{{Old: before.Namespaces[0], New: after.Namespaces[0]}}, discover.Diff(before, after).Changed)
	}
}
