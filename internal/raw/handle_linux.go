package raw

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// Handle is the file handle of a namespace: struct nsfs_file_handle of linux/nsfs.h, 16 bytes in the byte order of the
// machine. All of it has to be right for the namespace to be found; since Linux 6.19 the 64-bit ID alone suffices.
type Handle struct {
	Serial uint64
	Type   species.NamespaceType
	Inode  uint32
}

const (
	handleType = 0xf1 // FILEID_NSFS
	handleSize = 16
)

// fileHandle is struct file_handle of man 2 open_by_handle_at, with room for any (MAX_HANDLE_SZ).
type fileHandle struct {
	size  uint32
	kind  int32
	bytes [128]byte
}

// HandleOf returns the file handle of the namespace behind fd (Linux 6.18). EOPNOTSUPP: the kernel has none.
func HandleOf(fd int) (Handle, syscall.Errno) {
	var mount int32
	found := fileHandle{size: uint32(len(fileHandle{}.bytes))}
	_, _, errno := unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(fd), uintptr(noPath.pointer()),
		uintptr(unsafe.Pointer(&found)), uintptr(unsafe.Pointer(&mount)), unix.AT_EMPTY_PATH, 0)
	if errno != 0 {
		return Handle{}, errno
	}
	if found.kind != handleType || found.size < handleSize { // it is another file
		return Handle{}, unix.EOPNOTSUPP
	}
	return ParseHandle(found.bytes[:]), 0
}

// OpenHandle opens the namespace of a file handle (Linux 6.18). ESTALE: it is gone, or the caller lacks the rights; EBADF
// or EOPNOTSUPP: the kernel has no such handles.
func OpenHandle(h Handle) (int, syscall.Errno) {
	handle := fileHandle{size: handleSize, kind: handleType}
	h.put(handle.bytes[:])
	root := int32(unix.FD_NSFS_ROOT)
	for {
		fd, _, errno := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(root), uintptr(unsafe.Pointer(&handle)), unix.O_RDONLY|unix.O_CLOEXEC)
		if errno != unix.EINTR {
			return descriptor(fd, errno)
		}
	}
}

// ParseHandle reads the first 16 bytes of a handle as the kernel wrote it.
func ParseHandle(b []byte) Handle {
	return Handle{
		Serial: binary.NativeEndian.Uint64(b),
		Type:   species.NamespaceType(binary.NativeEndian.Uint32(b[8:])),
		Inode:  binary.NativeEndian.Uint32(b[12:]),
	}
}

// put writes the handle as the kernel reads it.
func (h Handle) put(b []byte) {
	binary.NativeEndian.PutUint64(b, h.Serial)
	binary.NativeEndian.PutUint32(b[8:], uint32(h.Type))
	binary.NativeEndian.PutUint32(b[12:], h.Inode)
}
