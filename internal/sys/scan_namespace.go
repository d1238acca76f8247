//go:build linux

package sys

import (
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
	fd, err := OpenThreadNamespace(species.CLONE_NEWUSER)
	if err != nil {
		return 0, err
	}
	defer func() { _ = fd.Close() }()
	id, err := IDOf(fd.Int())
	return id.Dev, err
}

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
