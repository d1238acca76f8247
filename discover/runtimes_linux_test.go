package discover_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/testutil/runtimes"
	"github.com/nsops/nsops/species"
)

func TestRunc(t *testing.T) {
	testutil.NeedRoot(t)
	target := runtimes.StartRunc(t, true)
	requireContainerTruth(t, full(t), target)
}

func TestLXC(t *testing.T) {
	testutil.NeedRoot(t)
	target := runtimes.StartLXC(t)
	r := standard(t)
	requireContainerTruth(t, r, target)
	require.Contains(t, r.Process(target.PID).Cgroup, "/payload")
	require.False(t, r.Process(target.PID).Frozen)
}

func requireContainerTruth(t *testing.T, r *discover.Result, target *testutil.Target) {
	t.Helper()
	for kind := range target.Types().All() {
		id, _ := species.IDwithType(target.NamespaceLink(kind))
		n := r.Namespace(id)
		require.NotNil(t, n, "%v", id)
		require.Equal(t, target.PID, n.Leader.PID, "%v", id)
	}
}
