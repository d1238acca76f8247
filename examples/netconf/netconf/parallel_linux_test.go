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
	p := newPlace(t, pathOf(newNetns(t)))
	results, errs := all(8, func(int) (*Result, error) { return Apply(t.Context(), p, simple()) })
	changed := 0
	for i, r := range results {
		require.NoError(t, errs[i])
		if r.Changed {
			changed++
		}
	}
	require.Equal(t, 1, changed)
	deleted, errs := all(4, func(int) (*Deleted, error) { return Delete(t.Context(), p) })
	links := 0
	for i, d := range deleted {
		require.NoError(t, errs[i])
		links += len(d.Links)
	}
	require.Equal(t, 2, links)
	requireEmpty(t, p.RunDir)
}

// TestParallelOneBridge has the bridge made, used and deleted by many at a time, again and again.
func TestParallelOneBridge(t *testing.T) {
	testutil.NeedRoot(t)
	host, dir := newNetns(t), t.TempDir()
	before := ip(t, host, "-o", "address")
	places := make([]Place, 6)
	for i := range places {
		places[i] = Place{host, pathOf(newNetns(t)), dir}
	}
	_, errs := all(len(places), func(i int) (any, error) {
		for range 4 {
			if _, err := Apply(t.Context(), places[i], Config{Bridge: Bridge{Name: "br0"}}); err != nil {
				return nil, err
			}
			state, err := Show(t.Context(), places[i])
			if err != nil || !strings.HasPrefix(state.Links[1].Flags, "up|") {
				t.Errorf("%v %+v", err, state)
			}
			if _, err := Delete(t.Context(), places[i]); err != nil {
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
	p := newPlace(t, pathOf(newNetns(t)))
	s, err := p.open(t.Context())
	require.NoError(t, err)
	defer s.close()
	l, err := s.lockTarget()
	require.NoError(t, err)
	before := listing(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Apply(ctx, p, simple())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "somebody else has it")
	require.Equal(t, before, listing(t, p))
	time.AfterFunc(50*time.Millisecond, l.release)
	_, err = apply(t, p, simple())
	require.NoError(t, err)
}

func TestTryLock(t *testing.T) {
	var files [3]*os.File
	for i := range files {
		var err error
		files[i], err = os.OpenFile(t.TempDir()+"/../lock", os.O_RDWR|os.O_CREATE, 0o600)
		require.NoError(t, err)
		defer func() { _ = files[i].Close() }()
	}
	require.NoError(t, tryLock(files[0], "a", shared))
	require.NoError(t, tryLock(files[1], "a", shared))
	require.ErrorIs(t, tryLock(files[2], "a", exclusive), syscall.EAGAIN)
	require.NoError(t, tryLock(files[2], "b", exclusive))
	(&lock{files[0]}).release()
	require.ErrorIs(t, tryLock(files[2], "a", exclusive), syscall.EAGAIN)
	(&lock{files[1]}).release()
	require.NoError(t, tryLock(files[2], "a", exclusive))
}
