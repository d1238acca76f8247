package raw

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// struct nsfs_file_handle of linux/nsfs.h: __u64 ns_id; __u32 ns_type; __u32 ns_inum.
func TestLayoutOfNamespaceHandles(t *testing.T) {
	const start = 8 // of f_handle in struct file_handle
	var h fileHandle
	require.EqualValues(t, 4, unsafe.Offsetof(h.kind))
	require.EqualValues(t, start, unsafe.Offsetof(h.serial))
	require.EqualValues(t, start+8, unsafe.Offsetof(h.typ))
	require.EqualValues(t, start+12, unsafe.Offsetof(h.inode))
	require.EqualValues(t, start+128, unsafe.Sizeof(h))
	require.EqualValues(t, 16, handleSize)
}
