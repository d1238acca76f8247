package handle_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestSerials(t *testing.T) {
	testutil.CheckLeaks(t)
	serials := map[uint64]bool{}
	for of := range species.Set(species.AllNS).All() {
		ref := handle.NamespacePath("/proc/self/ns/" + of.Name())
		serial, err := handle.Serial(ref)
		testutil.NeedFeature(t, "NS_GET_ID", 6, 18, err)
		require.False(t, serials[serial])
		serials[serial] = true
	}
}

func TestSerialsBefore6_18(t *testing.T) {
	testutil.CheckLeaks(t)
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 5, 14) // sockets know the number
	ns, err := handle.Get()
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	want, err := handle.Serial(ns)
	require.NoError(t, err)
	defer sys.Pretend(sys.NamespaceSerials)()
	got, err := handle.Serial(ns)
	require.NoError(t, err)
	require.Equal(t, want, got, "the cookie is the same number")
	_, err = handle.Serial(handle.NamespacePath("/proc/self/ns/mnt"))
	if !errors.Is(err, handle.ErrNotSupported) {
		require.NoError(t, err)
	}
	_, err = handle.Serial(handle.NamespacePath("/proc/self/ns/uts"))
	require.ErrorIs(t, err, handle.ErrNotSupported)
	require.ErrorContains(t, err, "6.18")
}

func TestFileHandles(t *testing.T) {
	if os.Geteuid() == 0 {
		checkFileHandles(t)
		return
	}
	testutil.InUserns(t, checkFileHandles)
}

func checkFileHandles(t *testing.T) {
	testutil.CheckLeaks(t)
	for of := range species.Set(species.AllNS).All() {
		created, err := handle.Create(of)
		require.NoError(t, err)
		h, err := handle.NewFileHandle(created[0])
		if err != nil {
			_ = created[0].Close()
		}
		testutil.NeedFeature(t, "file handles of namespaces", 6, 18, err)
		stored, err := h.MarshalBinary()
		require.NoError(t, err)
		var again handle.FileHandle
		require.NoError(t, again.UnmarshalBinary(stored))
		require.Equal(t, h, again)
		require.Equal(t, id(t, created[0]), id(t, again))
		serial, err := handle.Serial(created[0])
		require.NoError(t, err)
		require.Equal(t, h.Serial, serial)

		require.NoError(t, created[0].Close())
		require.Eventually(t, func() bool { // a dead namespace may be cleaned up in the background
			_, err = again.ID()
			return errors.Is(err, handle.ErrStale)
		}, 5*time.Second, time.Millisecond, "it does not keep the namespace alive")
	}
	defer sys.Pretend(sys.NamespaceHandles)()
	_, err := handle.NewFileHandle(handle.NamespacePath("/proc/self/ns/net"))
	require.ErrorIs(t, err, handle.ErrNotSupported)
	require.ErrorContains(t, err, "6.18")
	_, err = handle.FileHandle{NSType: species.CLONE_NEWNET}.ID()
	require.ErrorIs(t, err, handle.ErrNotSupported)
}
