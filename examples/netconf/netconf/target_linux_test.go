package netconf

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// TestPlaceRefused: what is no network namespace, or the host's own, is refused before anything is done.
func TestPlaceRefused(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	target := newNetns(t)
	file, err := os.Open("/dev/null")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	uts, err := handle.Of(species.CLONE_NEWUTS).Get()
	require.NoError(t, err)
	defer func() { _ = uts.Close() }()
	for _, wrong := range []handle.NsHandle{handle.None(), handle.NsHandle(file.Fd()), uts, target} {
		_, err = open(t, place{Place{Target: wrong}, target})
		require.Error(t, err)
	}
}

// TestStaleTarget: with the process, name servers are out of reach, and sysctls are not.
func TestStaleTarget(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	target.Stop()
	_, err = apply(t, p, withFiles())
	require.ErrorContains(t, err, "dns needs the PID")
	deleted, err := remove(t, p)
	require.ErrorContains(t, err, "no such process")
	require.Len(t, deleted, 2)
}

// TestInTarget: a worker that is not where the target was looked up refuses to work.
func TestInTarget(t *testing.T) {
	p := placeOf(t, startTarget(t, ""))
	p.Target = newNetns(t) // as if the process had gone elsewhere since
	before := listing(t, p)
	_, err := apply(t, p, withFiles())
	require.ErrorContains(t, err, "stale")
	require.Equal(t, before, listing(t, p))
}
