package sys_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// The kernel's own answers fit together.
func TestNamespaceHandlesOfTheKernel(t *testing.T) {
	for of := range species.Set(species.AllNS).All() {
		fd, err := sys.OpenNamespace("/proc/self/ns/" + of.Name())
		require.NoError(t, err)
		t.Cleanup(func() { _ = fd.Close() })
		h, err := sys.HandleOf(fd.Int())
		testutil.NeedFeature(t, "file handles of namespaces", 6, 18, err)
		id, err := sys.IDOf(fd.Int())
		require.NoError(t, err)
		serial, err := sys.SerialOf(fd.Int(), of)
		require.NoError(t, err)
		require.Equal(t, raw.Handle{Serial: serial, Type: of, Inode: uint32(id.Ino)}, h)
		again, err := sys.Own(sys.OpenHandle(h))
		require.NoError(t, err)
		same, err := sys.IDOf(again.Int())
		require.NoError(t, err)
		require.Equal(t, id, same)
		require.NoError(t, again.Close())
		require.NoError(t, fd.Close())
	}
}

func TestPIDsOfOurOwnNamespace(t *testing.T) {
	fd, err := sys.OpenNamespace("/proc/self/ns/pid")
	require.NoError(t, err)
	defer func() { _ = fd.Close() }()
	for _, ask := range []func(fd, pid int) (int, error){sys.PIDFrom, sys.PIDIn} {
		pid, err := ask(fd.Int(), os.Getpid())
		testutil.NeedFeature(t, "translation of PIDs", 6, 11, err)
		require.Equal(t, os.Getpid(), pid)
		restore := sys.Pretend(sys.PIDTranslation)
		_, err = ask(fd.Int(), os.Getpid())
		restore()
		require.ErrorIs(t, err, unix.ENOTTY)
	}
}
