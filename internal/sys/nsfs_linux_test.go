package sys_test

import (
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// struct nsfs_file_handle of linux/nsfs.h: __u64 ns_id; __u32 ns_type; __u32 ns_inum.
func TestLayoutOfNamespaceHandles(t *testing.T) {
	type nsfsFileHandle struct {
		id       uint64
		typ, ino uint32
	}
	require.EqualValues(t, 16, unsafe.Sizeof(nsfsFileHandle{}))
	require.EqualValues(t, 8, unsafe.Offsetof(nsfsFileHandle{}.typ))
	require.EqualValues(t, 12, unsafe.Offsetof(nsfsFileHandle{}.ino))
	h := sys.NamespaceHandle{Serial: 0x0102030405060708, Type: species.CLONE_NEWNET, Inode: 0xf0000001}
	bytes := h.Bytes()
	require.Len(t, bytes, 16)
	want := nsfsFileHandle{h.Serial, uint32(h.Type), h.Inode}
	require.Equal(t, unsafe.Slice((*byte)(unsafe.Pointer(&want)), 16), bytes)
	require.Equal(t, h, sys.ParseNamespaceHandle(bytes))
}

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
		require.Equal(t, sys.NamespaceHandle{Serial: serial, Type: of, Inode: uint32(id.Ino)}, h)
		again, err := h.Open()
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

func FuzzNamespaceHandle(f *testing.F) {
	f.Add(make([]byte, 16))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 16 {
			return
		}
		require.Equal(t, b[:16], sys.ParseNamespaceHandle(b).Bytes())
	})
}
