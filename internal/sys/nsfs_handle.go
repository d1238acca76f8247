//go:build linux

package sys

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// NamespaceHandle is what the kernel calls the file handle of a namespace: struct nsfs_file_handle of linux/nsfs.h,
// which is 16 bytes in the byte order of the machine. All of it has to be right for the namespace to be found.
type NamespaceHandle struct {
	Serial uint64
	Type   species.NamespaceType
	Inode  uint32
}

const (
	nsfsHandleType = 0xf1 // FILEID_NSFS
	nsfsHandleSize = 16
)

// HandleOf returns the file handle of the namespace behind fd (6.18). EOPNOTSUPP: the kernel has none.
func HandleOf(fd int) (NamespaceHandle, error) {
	if pretended(NamespaceHandles) {
		return NamespaceHandle{}, unix.EOPNOTSUPP
	}
	handle, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return NamespaceHandle{}, err
	}
	bytes := handle.Bytes()
	if handle.Type() != nsfsHandleType || len(bytes) < nsfsHandleSize {
		return NamespaceHandle{}, unix.EOPNOTSUPP
	}
	return ParseNamespaceHandle(bytes), nil
}

// ParseNamespaceHandle reads the first 16 bytes of a handle as the kernel wrote it.
func ParseNamespaceHandle(b []byte) NamespaceHandle {
	return NamespaceHandle{
		Serial: binary.NativeEndian.Uint64(b),
		Type:   species.NamespaceType(binary.NativeEndian.Uint32(b[8:])),
		Inode:  binary.NativeEndian.Uint32(b[12:]),
	}
}

// Bytes returns the handle as the kernel reads it.
func (h NamespaceHandle) Bytes() []byte {
	b := binary.NativeEndian.AppendUint64(make([]byte, 0, nsfsHandleSize), h.Serial)
	b = binary.NativeEndian.AppendUint32(b, uint32(h.Type))
	return binary.NativeEndian.AppendUint32(b, h.Inode)
}

// Open opens the namespace (6.18). ESTALE: it is gone, or the caller lacks the rights; EBADF or EOPNOTSUPP: the kernel
// has no such handles.
func (h NamespaceHandle) Open() (*FD, error) {
	if pretended(NamespaceHandles) {
		return nil, unix.EOPNOTSUPP
	}
	return open(func() (int, error) {
		handle := unix.NewFileHandle(nsfsHandleType, h.Bytes())
		return unix.OpenByHandleAt(unix.FD_NSFS_ROOT, handle, unix.O_RDONLY|unix.O_CLOEXEC)
	})
}
