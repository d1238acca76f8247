package netconf

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

// TestParallelOneTarget: of many that configure one target, one does it and the others find it done.
func TestParallelOneTarget(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	p := newPlace(t, newNetns(t))
	results, errs := all(8, func(int) (applied, error) { return apply(t, p, simple()) })
	changed := 0
	for i, r := range results {
		require.NoError(t, errs[i])
		if r.changed {
			changed++
		}
	}
	require.Equal(t, 1, changed)
	deleted, errs := all(4, func(int) ([]string, error) { return remove(t, p) })
	links := 0
	for i, d := range deleted {
		require.NoError(t, errs[i])
		links += len(d)
	}
	require.Equal(t, 2, links)
}

// TestParallelOneBridge has the bridge made, used and deleted by many at a time, again and again.
func TestParallelOneBridge(t *testing.T) {
	testutil.NeedRoot(t)
	host, lock := newNetns(t), t.TempDir()+"/lock"
	before := ip(t, host, "-o", "address")
	places := make([]Place, 5)
	for i := range places {
		places[i] = Place{Host: host, Target: newNetns(t), Lock: lock}
	}
	_, errs := all(len(places), func(i int) (any, error) {
		for range 2 {
			if _, err := apply(t, places[i], Config{Bridge: Bridge{Name: "br0"}}); err != nil {
				return nil, err
			}
			state, err := show(t, places[i])
			if err != nil || !strings.HasPrefix(state.Interfaces[1].Flags, "up|") {
				t.Errorf("%v %+v", err, state)
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
	require.Equal(t, before, ip(t, host, "-o", "address"))
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

func TestLockIsWaitedFor(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	s, err := Open(t.Context(), p)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Open(ctx, p)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "somebody else has it")
	time.AfterFunc(50*time.Millisecond, s.Close)
	_, err = apply(t, p, simple())
	require.NoError(t, err)
}

// TestLockFile: whoever can write to the folder could put a link there.
func TestLockFile(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	require.NoError(t, os.Symlink("/dev/null", p.Lock))
	_, err := Open(t.Context(), p)
	require.ErrorIs(t, err, syscall.ELOOP)
}
