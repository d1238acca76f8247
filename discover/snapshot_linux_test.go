package discover_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// TestSnapshotAgreesWithProc makes one of everything and compares what the kernel tells at once with what the look at
// /proc finds.
func TestSnapshotAgreesWithProc(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 18)
	checkLeaks(t)
	all := append(inThisProcess(t), tunTap(t))
	all = append(append(all, pinned(t)...), processLess(t)...)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000,
		Setup: "sleep 1000 &"})
	onThread(t, func() { require.NoError(t, unix.Unshare(unix.CLONE_NEWPID)) })
	pids := []int{pid(), target.PID, nested(t)}
	full(t) // the first of a small machine is without a snapshot
	snapshot := full(t)
	restore := sys.Pretend(sys.TaskIterators)
	walk := full(t)
	restore()
	requireTruth(t, snapshot, all)
	requireTruth(t, walk, all)
	for _, pid := range pids {
		for _, below := range append(walk.Process(pid).Children, walk.Process(pid)) {
			found := described(t, snapshot, below.PID)
			for _, line := range described(t, walk, below.PID) {
				require.Contains(t, found, line)
			}
			for _, n := range below.Namespaces {
				require.Equal(t, namespaceText(n), namespaceText(snapshot.Namespace(n.ID)))
			}
		}
	}
	for _, ns := range all {
		id := species.NamespaceIDFromInode(ns.ino)
		require.Equal(t, namespaceText(walk.Namespace(id)), namespaceText(snapshot.Namespace(id)), ns.what)
		found := referenceTexts(snapshot.Namespace(id))
		for text := range maps.Keys(referenceTexts(walk.Namespace(id))) {
			require.Contains(t, found, text, "%v", ns)
		}
	}
}

// described tells all of a process but what changes all the time: it, its namespaces, its stray threads.
func described(t *testing.T, r *discover.Result, pid int) (lines []string) {
	p := r.Process(pid)
	require.NotNil(t, p, "%d", pid)
	add := func(of ...any) { lines = append(lines, fmt.Sprint(of...)) }
	add(p.PID, p.PPID, p.Name, p.Cmdline, p.Kernel, p.Start, p.UID, p.GID, p.PIDs, p.Cgroup, p.Frozen)
	add(p.Namespaces, p.PIDForChildren, p.TimeForChildren)
	for _, task := range p.Tasks {
		if task.Stray() || task.PIDForChildren != nil || task.TimeForChildren != nil {
			add(task.TID, task.Name, task.Start, task.TIDs, task.Namespaces, task.PIDForChildren, task.TimeForChildren)
		}
	}
	return lines
}

func namespaceText(n *discover.Namespace) string {
	if n == nil {
		return "none"
	}
	return fmt.Sprintln(n, n.Serial, n.Type, n.Initial, n.Owner, n.OwnerUID, n.OwnerName, n.OwnerHidden, n.Parent, n.ParentHidden)
}

// referenceTexts leaves out what other programs hold: they may be discovering, too.
func referenceTexts(n *discover.Namespace) map[string]bool {
	texts := map[string]bool{}
	for _, r := range n.References {
		if r.Kind == discover.ByFD && r.PID != pid() {
			continue
		}
		texts[fmt.Sprintln(r.Kind, r.PID, r.TID, r.FD, r.Path, r.MountNamespace)] = true
	}
	return texts
}

// TestSnapshotOfASwitchedProcess has a process change its namespace again and again: it is found in one that exists.
func TestSnapshotOfASwitchedProcess(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWPID),
		Setup: "while :; do unshare -n -i sleep 0.01; done &"})
	for range 20 {
		r := full(t)
		require.True(t, slices.IsSortedFunc(r.Namespaces, func(a, b *discover.Namespace) int {
			if a.Type != b.Type {
				return 0
			}
			return int(int64(a.ID.Ino) - int64(b.ID.Ino))
		}))
		for i := 1; i < len(r.Namespaces); i++ {
			require.NotEqual(t, r.Namespaces[i-1].ID, r.Namespaces[i].ID)
		}
		for _, p := range r.Process(target.PID).Children {
			for _, n := range p.Namespaces {
				require.True(t, n == nil || r.Namespace(n.ID) == n, "%v of %v", n, p.PID)
			}
		}
	}
}
