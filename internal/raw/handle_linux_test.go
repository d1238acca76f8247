package raw

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

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
	h := Handle{Serial: 0x0102030405060708, Type: species.CLONE_NEWNET, Inode: 0xf0000001}
	bytes := make([]byte, handleSize)
	h.put(bytes)
	want := nsfsFileHandle{h.Serial, uint32(h.Type), h.Inode}
	require.Equal(t, unsafe.Slice((*byte)(unsafe.Pointer(&want)), 16), bytes)
	require.Equal(t, h, ParseHandle(bytes))
}

func FuzzHandle(f *testing.F) {
	f.Add(make([]byte, 16))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 16 {
			return
		}
		again := make([]byte, 16)
		ParseHandle(b).put(again)
		require.Equal(t, b[:16], again)
	})
}
