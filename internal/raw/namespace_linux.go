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
	return species.NamespaceType(max(0, t)), errno
}

// Owner opens the user namespace that owns the namespace behind fd. EPERM: it is not the caller's own, nor below it.
func Owner(fd int) (int, syscall.Errno) { return ioctl(fd, unix.NS_GET_USERNS, 0) }

// Parent opens the parent of the user or PID namespace behind fd. EPERM: there is none, or it is not the caller's own, nor
// below it; EINVAL: the type has no parents.
func Parent(fd int) (int, syscall.Errno) { return ioctl(fd, unix.NS_GET_PARENT, 0) }

// OwnerUID returns the user ID, as the caller's user namespace maps it, of who created the user namespace behind fd.
// EINVAL: it is of another type.
func OwnerUID(fd int) (uint32, syscall.Errno) {
	return readNumber[uint32](fd, unix.NS_GET_OWNER_UID)
}

// Serial returns the 64-bit ID of the namespace behind fd (Linux 6.18). ENOTTY: the kernel has none.
func Serial(fd int) (uint64, syscall.Errno) {
	return readNumber[uint64](fd, unix.NS_GET_ID)
}

// MountSerial is Serial for a mount namespace (Linux 6.11).
func MountSerial(fd int) (uint64, syscall.Errno) {
	return readNumber[uint64](fd, unix.NS_GET_MNTNS_ID)
}

// PIDFrom returns the PID in the caller's PID namespace of the process that has pid in the one behind fd (Linux 6.11).
// ESRCH: there is none; ENOTTY: the kernel has no such request.
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
	_, _, errno := unix.RawSyscall(unix.SYS_SETNS, uintptr(fd), uintptr(mask), 0)
	return errno
}

// ListNamespaces returns the 64-bit IDs of all active namespaces of a type (listns(2), Linux 6.19), or ENOSYS.
func ListNamespaces(t species.NamespaceType) ([]uint64, syscall.Errno) {
	request := unix.NsIdReq{Size: unix.NS_ID_REQ_SIZE_VER0, Ns_type: uint32(t)}
	return list(unix.SYS_LISTNS, unsafe.Pointer(&request), &request.Ns_id, nil)
}

// list appends the IDs that a call lists, some at a time: those after the one in the request.
func list(call uintptr, request unsafe.Pointer, after *uint64, ids []uint64) ([]uint64, syscall.Errno) {
	const batch = 512
	for {
		start := len(ids)
		ids = append(ids, make([]uint64, batch)...)
		n, _, errno := unix.Syscall6(call, uintptr(request), uintptr(unsafe.Pointer(&ids[start])), batch, 0, 0, 0)
		if errno != 0 {
			return ids[:start], errno
		}
		ids = ids[:start+int(n)]
		if n < batch {
			return ids, 0
		}
		*after = ids[len(ids)-1]
	}
}

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
	handleRoom = 128 // MAX_HANDLE_SZ
)

// fileHandle is struct file_handle of man 2 open_by_handle_at with the handle of a namespace, and room for any.
type fileHandle struct {
	size       uint32
	kind       int32
	serial     uint64
	typ, inode uint32
	_          [handleRoom - handleSize]byte
}

// HandleOf returns the file handle of the namespace behind fd (Linux 6.18). EOPNOTSUPP: the kernel has none.
func HandleOf(fd int) (Handle, syscall.Errno) {
	var mount int32
	found := fileHandle{size: handleRoom}
	_, _, errno := unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(fd), uintptr(noPath.pointer()),
		uintptr(unsafe.Pointer(&found)), uintptr(unsafe.Pointer(&mount)), unix.AT_EMPTY_PATH, 0)
	if errno != 0 {
		return Handle{}, errno
	}
	if found.kind != handleType || found.size < handleSize { // it is another file
		return Handle{}, unix.EOPNOTSUPP
	}
	return Handle{found.serial, species.NamespaceType(found.typ), found.inode}, 0
}

// OpenHandle opens the namespace of a file handle (Linux 6.18). ESTALE: it is gone, or the caller lacks the rights; EBADF
// or EOPNOTSUPP: the kernel has no such handles.
func OpenHandle(h Handle) (int, syscall.Errno) {
	handle := fileHandle{size: handleSize, kind: handleType, serial: h.Serial, typ: uint32(h.Type), inode: h.Inode}
	root := int32(unix.FD_NSFS_ROOT)
	for {
		fd, errno := descriptor(unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(root), uintptr(unsafe.Pointer(&handle)), unix.O_CLOEXEC))
		if errno != unix.EINTR {
			return fd, errno
		}
	}
}

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
	return descriptor(unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, argument))
}

func ioctlNoWait(fd int, request uintptr) (int, syscall.Errno) {
	return descriptor(unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, 0))
}

// ioctlPointer is for a request that fills in what the pointer leads to.
func ioctlPointer(fd int, request uintptr, argument unsafe.Pointer) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	return errno
}

func readNumber[T uint32 | uint64](fd int, request uintptr) (n T, errno syscall.Errno) {
	errno = ioctlPointer(fd, request, unsafe.Pointer(&n))
	return n, errno
}
