//go:build linux

package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// QuickPidfd opens a pidfd of the process with that PID in our PID namespace, or with thread of a thread (6.9).
func QuickPidfd(pid int, thread bool) (int, syscall.Errno) {
	flags := uintptr(0)
	if thread {
		flags = unix.PIDFD_THREAD
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_PIDFD_OPEN, uintptr(pid), flags, 0)
	if errno != 0 {
		return NoFD, errno
	}
	return int(fd), 0
}

// The two namespaces of a process that are for its children, besides the eight types.
const (
	PIDForChildren  = 1<<32 | species.CLONE_NEWPID
	TimeForChildren = 1<<32 | species.CLONE_NEWTIME
)

// PidfdRequest returns the ioctl for QuickPidfdNamespace.
func PidfdRequest(t species.NamespaceType) uint {
	switch t {
	case PIDForChildren:
		return 0xff06
	case TimeForChildren:
		return 0xff08
	}
	return pidfdRequests[t]
}

// QuickPidfdNamespace opens a namespace of the process behind pidfd (6.11).
func QuickPidfdNamespace(pidfd int, request uint) (int, syscall.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(pidfd), uintptr(request), 0)
	if errno != 0 {
		return NoFD, errno
	}
	return int(fd), 0
}

// ScanInfo is what PIDFD_GET_INFO knows of a process.
type ScanInfo struct {
	TGID     int // of a thread, its process's PID
	PPID     int
	UID, GID uint32 // real
	CgroupID uint64 // in the hierarchy of version 2
}

// QuickPidfdInfo asks a pidfd about its process (6.13).
func QuickPidfdInfo(pidfd int, found *ScanInfo) syscall.Errno {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_CGROUPID}
	const request = 0xc040ff0b // with the size of the first version of the struct
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(pidfd), request, uintptr(unsafe.Pointer(&info)))
	*found = ScanInfo{TGID: int(info.Tgid), PPID: int(info.Ppid), UID: info.Ruid, GID: info.Rgid, CgroupID: info.Cgroupid}
	return errno
}

// ScanGetFD returns a duplicate of another process's descriptor (5.6), which takes the right to trace the process.
// Closing one of a file on a file system may have effects there.
func ScanGetFD(pidfd, fd int) (int, syscall.Errno) {
	got, _, errno := unix.Syscall(unix.SYS_PIDFD_GETFD, uintptr(pidfd), uintptr(fd), 0)
	if errno != 0 {
		return NoFD, errno
	}
	return int(got), 0
}

// QuickCookie returns the number that the network namespace of a socket has and no other ever gets (5.14).
func QuickCookie(socket int) (uint64, syscall.Errno) {
	var cookie uint64
	size := uint32(unsafe.Sizeof(cookie))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(socket), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE,
		uintptr(unsafe.Pointer(&cookie)), uintptr(unsafe.Pointer(&size)), 0)
	return cookie, errno
}

// ScanNetworkOfSocket opens the network namespace of a socket (SIOCGSKNS, 4.12).
func ScanNetworkOfSocket(socket int) (int, syscall.Errno) {
	return quickRelative(socket, unix.SIOCGSKNS)
}

// ScanNetworkOfTun opens the network namespace that a descriptor of /dev/net/tun has its device from (TUNGETDEVNETNS,
// 5.2). EBADFD: it has no device.
func ScanNetworkOfTun(tun int) (int, syscall.Errno) {
	const tunGetDevNetns = 0x54e3
	return quickRelative(tun, tunGetDevNetns)
}

func quickRelative(fd int, request uint) (int, syscall.Errno) {
	got, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), 0)
	if errno != 0 {
		return NoFD, errno
	}
	return int(got), 0
}

// SharesFDs says whether two threads have the same table of descriptors (kcmp(2)). ENOSYS: the kernel cannot tell.
func SharesFDs(a, b int) (bool, syscall.Errno) { return shares(a, b, kcmpFiles) }

// IsLikeMainThread says whether the calling thread has descriptors, root and mount namespace in common with the main one:
// a thread that has another mount namespace has a root of its own. It is false if the kernel cannot tell.
func IsLikeMainThread() bool {
	files, errno := shares(OwnPID(), OwnTID(), kcmpFiles)
	if errno != 0 || !files {
		return false
	}
	root, errno := shares(OwnPID(), OwnTID(), kcmpFS)
	return errno == 0 && root
}

const kcmpFiles, kcmpFS = 2, 3

func shares(a, b, what int) (bool, syscall.Errno) {
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), uintptr(what), 0, 0, 0)
	return order == 0, errno
}

// SameFile says whether two descriptors of this process are of the same open file.
func SameFile(a, b int) (bool, syscall.Errno) {
	const file = 0 // KCMP_FILE
	own := uintptr(unix.Getpid())
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, own, own, file, uintptr(a), uintptr(b), 0)
	return order == 0 && errno == 0, errno
}

// QuickDup duplicates a descriptor, NoFD if that fails.
func QuickDup(fd int) int {
	got, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return NoFD
	}
	return int(got)
}
