package raw

import (
	"math"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// NsfsMagic marks the file system of namespaces.
const NsfsMagic = unix.NSFS_MAGIC

// Type returns the type of the namespace behind fd, which is known to be one: other files may answer, too.
func Type(fd int) (species.NamespaceType, syscall.Errno) {
	t, errno := ioctlNoWait(fd, unix.NS_GET_NSTYPE)
	if errno != 0 {
		return species.NaNS, errno
	}
	return species.NamespaceType(t), 0
}

// Owner opens the user namespace that owns the namespace behind fd. EPERM: it is not the caller's own, nor below it.
func Owner(fd int) (int, syscall.Errno) { return ioctl(fd, unix.NS_GET_USERNS, 0) }

// Parent opens the parent of the user or PID namespace behind fd. EPERM: there is none, or it is not the caller's own, nor
// below it; EINVAL: the type has no parents.
func Parent(fd int) (int, syscall.Errno) { return ioctl(fd, unix.NS_GET_PARENT, 0) }

// OwnerUID returns the user ID, as the caller's user namespace maps it, of who created the user namespace behind fd.
// EINVAL: it is of another type.
func OwnerUID(fd int) (uint32, syscall.Errno) {
	var uid uint32
	errno := ioctlPointer(fd, unix.NS_GET_OWNER_UID, unsafe.Pointer(&uid))
	return uid, errno
}

// Serial returns the 64-bit ID of the namespace behind fd (Linux 6.18). ENOTTY: the kernel has none.
func Serial(fd int) (uint64, syscall.Errno) {
	var serial uint64
	errno := ioctlPointer(fd, unix.NS_GET_ID, unsafe.Pointer(&serial))
	return serial, errno
}

// MountSerial is Serial for a mount namespace (Linux 6.11).
func MountSerial(fd int) (uint64, syscall.Errno) {
	var serial uint64
	errno := ioctlPointer(fd, unix.NS_GET_MNTNS_ID, unsafe.Pointer(&serial))
	return serial, errno
}

// PIDFrom returns the PID in the caller's PID namespace of the process that has pid in the one behind fd (Linux 6.11).
// ESRCH: there is none; ENOTTY: the kernel cannot tell.
func PIDFrom(fd, pid int) (int, syscall.Errno) { return translate(fd, unix.NS_GET_PID_FROM_PIDNS, pid) }

// PIDIn returns the PID in the PID namespace behind fd of the process that has pid in the caller's (Linux 6.11). ESRCH: it
// is not in there; ENOTTY: the kernel cannot tell.
func PIDIn(fd, pid int) (int, syscall.Errno) { return translate(fd, unix.NS_GET_PID_IN_PIDNS, pid) }

func translate(fd int, request uintptr, pid int) (int, syscall.Errno) {
	if pid > math.MaxInt32 { // the kernel would take the lower 32 bits
		return 0, unix.ESRCH
	}
	result, errno := ioctl(fd, request, uintptr(pid))
	return max(0, result), errno
}

// Setns moves the calling thread into the namespace of fd, or with a pidfd into those of its process that mask names.
func Setns(fd int, mask species.NamespaceType) syscall.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_SETNS, uintptr(fd), uintptr(mask), 0)
		if errno != unix.EINTR {
			return errno
		}
	}
}

// SetnsNoWait is Setns for all types but mount namespaces.
func SetnsNoWait(fd int, mask species.NamespaceType) syscall.Errno {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_SETNS, uintptr(fd), uintptr(mask), 0)
		if errno != unix.EINTR {
			return errno
		}
	}
}

// ListNamespaces returns the 64-bit IDs of all active namespaces of a type (listns(2), Linux 6.19). ENOSYS: the kernel has
// no such call.
func ListNamespaces(t species.NamespaceType) ([]uint64, syscall.Errno) {
	const batch = 512
	request := unix.NsIdReq{Size: unix.NS_ID_REQ_SIZE_VER0, Ns_type: uint32(t)}
	var ids []uint64
	for {
		start := len(ids)
		ids = append(ids, make([]uint64, batch)...)
		n, _, errno := unix.Syscall6(unix.SYS_LISTNS, uintptr(unsafe.Pointer(&request)), uintptr(unsafe.Pointer(&ids[start])), batch, 0, 0, 0)
		if errno != 0 {
			return ids[:start], errno
		}
		ids = ids[:start+int(n)]
		if n < batch {
			return ids, 0
		}
		request.Ns_id = ids[len(ids)-1]
	}
}
