package discover_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/species"
)

// TestPIDsWithUnknownParents has a process in two PID namespaces below one that the caller may not know.
func TestPIDsWithUnknownParents(t *testing.T) {
	outer := &discover.Namespace{ID: species.NamespaceID{Ino: 1}, Type: species.CLONE_NEWPID, ParentHidden: true}
	inner := &discover.Namespace{ID: species.NamespaceID{Ino: 2}, Type: species.CLONE_NEWPID, Parent: outer}
	p := &discover.Process{PID: 300, PIDs: []int{300, 20, 1}}
	p.Namespaces[5] = inner
	m := discover.NewPIDMap(&discover.Result{Processes: []*discover.Process{p}})
	require.Equal(t, 20, m.Translate(1, inner, outer))
	require.Equal(t, []int{20}, m.PIDs(outer))
	require.Equal(t, []discover.NamespacedPID{{PID: 20, Namespace: outer}, {PID: 1, Namespace: inner}}, m.NamespacedPIDs(1, inner))
	require.Zero(t, m.Translate(300, outer, inner))
}
