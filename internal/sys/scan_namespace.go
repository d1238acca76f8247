//go:build linux

package sys

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// ScanOwner is OwnerOf in plain numbers.
func ScanOwner(fd int) (int, syscall.Errno) { return quickRelative(fd, unix.NS_GET_USERNS) }

// ScanParent is ParentOf in plain numbers.
func ScanParent(fd int) (int, syscall.Errno) { return quickRelative(fd, unix.NS_GET_PARENT) }

// QuickType returns the type of the namespace behind fd, which is known to be on nsfs (4.11).
func QuickType(fd int) (species.NamespaceType, syscall.Errno) {
	t, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_NSTYPE, 0)
	return species.NamespaceType(t), errno
}

// QuickSerial returns the 64-bit ID of the namespace behind fd (6.18).
func QuickSerial(fd int) (uint64, syscall.Errno) {
	var serial uint64
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_ID, uintptr(unsafe.Pointer(&serial)))
	return serial, errno
}

// HaveSerials says whether QuickSerial works here.
func HaveSerials() bool {
	if pretended(NamespaceSerials) {
		return false
	}
	fd, err := OpenThreadNamespace(species.CLONE_NEWUSER)
	if err != nil {
		return false
	}
	defer func() { _ = fd.Close() }()
	_, errno := QuickSerial(fd.Int())
	return errno == 0
}

// NsfsDevice returns the device number of the file system of namespaces, which is that of every namespace.
func NsfsDevice() (uint64, error) {
	if dev := nsfsDevice.Load(); dev != 0 {
		return dev, nil
	}
	fd, err := OpenThreadNamespace(species.CLONE_NEWUSER)
	if err != nil {
		return 0, err
	}
	defer func() { _ = fd.Close() }()
	id, err := IDOf(fd.Int())
	nsfsDevice.Store(id.Dev)
	return id.Dev, err
}

var nsfsDevice atomic.Uint64

// ScanLimit returns how many descriptors the process may have at a time.
func ScanLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(limit.Cur, 1<<20))
}

// IsProc says whether fd is the root of a proc file system.
func IsProc(fd int) bool {
	var fs unix.Statfs_t
	id, err := IDOf(fd)
	return err == nil && id.Ino == procRootInode &&
		Retry(func() error { return unix.Fstatfs(fd, &fs) }) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

// OwnPID returns the PID of this process in its own PID namespace.
func OwnPID() int { return ownPID() }

// namespaceFileHandle is struct file_handle of linux/fcntl.h with a NamespaceHandle in it.
type namespaceFileHandle struct {
	size   uint32
	kind   int32
	serial uint64
	t      uint32
	inode  uint32
}

// ScanOpenHandle is NamespaceHandle.Open in plain numbers.
func ScanOpenHandle(h NamespaceHandle) (int, syscall.Errno) {
	if pretended(NamespaceHandles) {
		return NoFD, unix.EOPNOTSUPP
	}
	handle := namespaceFileHandle{nsfsHandleSize, nsfsHandleType, h.Serial, uint32(h.Type), h.Inode}
	const root = unix.FD_NSFS_ROOT
	fd, _, errno := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(root&(1<<32-1)), uintptr(unsafe.Pointer(&handle)), unix.O_RDONLY|unix.O_CLOEXEC)
	if errno != 0 {
		return NoFD, errno
	}
	return int(fd), 0
}
