//go:build linux

package sys

import (
	"math"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// OwnerOf opens the user namespace that owns the namespace behind fd (NS_GET_USERNS, 4.9). EPERM: it lies above or
// beside our own user namespace.
func OwnerOf(fd int) (*FD, error) { return openRelative(fd, unix.NS_GET_USERNS) }

// ParentOf opens the parent of the user or PID namespace behind fd (NS_GET_PARENT, 4.9). EPERM: there is none, or it
// lies above or beside our own; EINVAL: the type has no parents.
func ParentOf(fd int) (*FD, error) { return openRelative(fd, unix.NS_GET_PARENT) }

func openRelative(fd int, request uint) (*FD, error) {
	return open(func() (int, error) { return unix.IoctlRetInt(fd, request) })
}

// OwnerUIDOf returns the user ID, as our user namespace sees it, of who created the user namespace behind fd
// (NS_GET_OWNER_UID, 4.11). EINVAL: it is of another type.
func OwnerUIDOf(fd int) (int, error) {
	var uid uint32
	err := ioctlPointer(fd, unix.NS_GET_OWNER_UID, unsafe.Pointer(&uid))
	return int(uid), err
}

// OnlyTrustedMade reports whether root or the calling user has made the user namespace, and each one between it and the
// caller's own: who makes one has all rights over the processes in it.
func OnlyTrustedMade(user *FD) bool {
	ours, err := ThreadNamespaceID(species.CLONE_NEWUSER)
	if err != nil {
		return false
	}
	if id, err := IDOf(user.Int()); err != nil || id == ours {
		return err == nil
	}
	if owner, err := OwnerUIDOf(user.Int()); err != nil || owner != 0 && owner != unix.Geteuid() {
		return false
	}
	parent, err := ParentOf(user.Int())
	if err != nil {
		return false
	}
	defer func() { _ = parent.Close() }()
	return OnlyTrustedMade(parent)
}

// SerialOf returns the number of the namespace of type t behind fd, which no other ever has: NS_GET_ID (6.18), for
// mount namespaces NS_GET_MNTNS_ID (6.11). ENOTTY: the kernel has neither.
func SerialOf(fd int, t species.NamespaceType) (uint64, error) {
	var id uint64
	err := error(unix.ENOTTY)
	if !pretended(NamespaceSerials) {
		err = ioctlPointer(fd, unix.NS_GET_ID, unsafe.Pointer(&id))
	}
	if err == unix.ENOTTY && t == species.CLONE_NEWNS {
		err = ioctlPointer(fd, unix.NS_GET_MNTNS_ID, unsafe.Pointer(&id))
	}
	return id, err
}

// NetworkCookie returns the number of the calling thread's network namespace that no other ever has (SO_NETNS_COOKIE,
// 5.14). ENOPROTOOPT: the kernel has no such numbers.
func NetworkCookie() (uint64, error) {
	socket, err := open(func() (int, error) { return unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) })
	if err != nil {
		return 0, err
	}
	defer func() { _ = socket.Close() }()
	return unix.GetsockoptUint64(socket.Int(), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
}

// NetworkOfSocket opens the network namespace of a socket (SIOCGSKNS, 4.10). It takes
// CAP_NET_ADMIN over it; ENOTTY: fd is no socket.
func NetworkOfSocket(fd int) (*FD, error) { return openRelative(fd, unix.SIOCGSKNS) }

// PIDFrom returns the PID in our PID namespace of the process that has pid in the one behind fd (6.11). ESRCH: there
// is none; ENOTTY: the kernel cannot tell.
func PIDFrom(fd, pid int) (int, error) { return translate(fd, unix.NS_GET_PID_FROM_PIDNS, pid) }

// PIDIn returns the PID in the PID namespace behind fd of the process that has pid in ours (6.11). ESRCH: it is not in
// there; ENOTTY: the kernel cannot tell.
func PIDIn(fd, pid int) (int, error) { return translate(fd, unix.NS_GET_PID_IN_PIDNS, pid) }

func translate(fd int, request uint, pid int) (int, error) {
	if pretended(PIDTranslation) {
		return 0, unix.ENOTTY
	}
	if pid > math.MaxInt32 { // the kernel would take the lower 32 bits
		return 0, unix.ESRCH
	}
	result, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(pid))
	if errno != 0 {
		return 0, errno
	}
	return int(result), nil
}

func ioctlPointer(fd int, request uint, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}
