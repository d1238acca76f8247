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
	places := make([]Place, 5)
	for i := range places {
		places[i] = Place{host, pathOf(newNetns(t)), dir}
	}
	_, errs := all(len(places), func(i int) (any, error) {
		for range 2 {
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
	require.NoError(t, s.lockTarget())
	before := listing(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Apply(ctx, p, simple())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "somebody else has it")
	require.Equal(t, before, listing(t, p))
	time.AfterFunc(50*time.Millisecond, s.close)
	_, err = apply(t, p, simple())
	require.NoError(t, err)
}

func TestTryLock(t *testing.T) {
	sessions := [3]session{}
	p := Place{RunDir: t.TempDir()}
	for i := range sessions {
		sessions[i] = session{Place: p, locks: -1}
		require.NoError(t, sessions[i].openLocks())
	}
	a, b, c := &sessions[0], &sessions[1], &sessions[2]
	require.NoError(t, tryLock(a.locks, "x", shared))
	require.NoError(t, tryLock(b.locks, "x", shared))
	require.ErrorIs(t, tryLock(c.locks, "x", exclusive), syscall.EAGAIN)
	require.NoError(t, tryLock(c.locks, "y", exclusive))
	require.ErrorIs(t, tryLock(a.locks, "y", shared), syscall.EAGAIN)
	a.closeLocks()
	require.ErrorIs(t, tryLock(c.locks, "x", exclusive), syscall.EAGAIN)
	require.NoError(t, tryLock(b.locks, "x", unlocked))
	require.NoError(t, tryLock(c.locks, "x", exclusive))
	b.closeLocks()
	c.closeLocks()
}

// TestLockFile: whoever can write to the folder could put a link there.
func TestLockFile(t *testing.T) {
	s := session{Place: Place{RunDir: t.TempDir()}, locks: -1}
	require.NoError(t, os.Symlink("/dev/null", s.RunDir+"/lock"))
	require.ErrorIs(t, s.openLocks(), syscall.ELOOP)
}
