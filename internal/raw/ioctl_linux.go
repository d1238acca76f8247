package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of ioctl(2) that golang.org/x/sys does not have. Where the direction of the data is in a request depends on the
// architecture, and a request of the same kind that x/sys has tells: asm-generic/ioctl.h.
const (
	reads = unix.NS_GET_ID &^ (1<<29 - 1) // _IOC_READ: the kernel writes what the caller reads

	namespaceRequest = reads | unix.MNT_NS_INFO_SIZE_VER0<<16 | 0xb7<<8

	MountInfoRequest              = namespaceRequest | 10 // NS_MNT_GET_INFO
	NextMountNamespaceRequest     = namespaceRequest | 11 // NS_MNT_GET_NEXT
	PreviousMountNamespaceRequest = namespaceRequest | 12 // NS_MNT_GET_PREV
)

// ioctl is for a request whose argument is a number, or none.
func ioctl(fd int, request, argument uintptr) (int, syscall.Errno) {
	result, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, argument)
	return descriptor(result, errno)
}

func ioctlNoWait(fd int, request uintptr) (int, syscall.Errno) {
	result, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, 0)
	return descriptor(result, errno)
}

// ioctlPointer is for a request that fills in what the pointer leads to.
func ioctlPointer(fd int, request uintptr, argument unsafe.Pointer) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	return errno
}
