package netconf

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/testutil"
)

// TestParallelOneTarget: of many that configure one target, one does it. The others find it done, or are told that
// something is there, or half done, and leave it alone.
func TestParallelOneTarget(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	p := newPlace(t, newNetns(t))
	ip(t, p.Host, "link", "add", "br0", "type", "bridge")
	ip(t, p.Host, "link", "set", "br0", "up")
	ip(t, p.Host, "address", "add", "10.88.0.1/24", "dev", "br0")
	results, errs := all(8, func(int) (applied, error) { return apply(t, p, simple()) })
	changed := 0
	for i, r := range results {
		if errs[i] == nil && r.changed {
			changed++
		}
	}
	require.Equal(t, 1, changed, "%v", errs)
	again, err := apply(t, p, simple())
	require.NoError(t, err)
	require.False(t, again.changed)
	ping(t, p.Host, "10.88.0.2")
	deleted, err := remove(t, p)
	require.NoError(t, err)
	require.Len(t, deleted, 1)
}

// TestTaken: names are exclusive, also those that are taken after a plan was made.
func TestTaken(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	for _, add := range [][]string{{"br0", "type", "bridge"}, {hostNameOf(t, p), "type", "veth", "peer", "name", "x"}} {
		err := applyChanged(t.Context(), t, p, simple(), func(plan *Plan) {
			plan.insert(0, "take", func() error {
				ip(t, p.Host, append([]string{"link", "add"}, add...)...)
				return nil
			})
		})
		require.ErrorIs(t, err, unix.EEXIST)
		ip(t, p.Host, "link", "del", add[0])
	}
}

// TestParallelOneBridge has many targets attached to a bridge, and taken off again, at a time.
func TestParallelOneBridge(t *testing.T) {
	testutil.NeedRoot(t)
	host := newNetns(t)
	ip(t, host, "link", "add", "br0", "type", "bridge")
	ip(t, host, "link", "set", "br0", "up")
	before := ip(t, host, "-o", "link", "show", "type", "veth")
	places := make([]place, 5)
	for i := range places {
		places[i] = place{Place{Target: newNetns(t)}, host}
	}
	_, errs := all(len(places), func(i int) (any, error) {
		for range 2 {
			if _, err := apply(t, places[i], Config{Bridge: Bridge{Name: "br0"}}); err != nil {
				return nil, err
			}
			if _, err := remove(t, places[i]); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, before, ip(t, host, "-o", "link", "show", "type", "veth"))
}

// all calls f n times at once.
func all[T any](n int, f func(i int) (T, error)) ([]T, []error) {
	results, errs := make([]T, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { results[i], errs[i] = f(i) })
	}
	group.Wait()
	return results, errs
}
