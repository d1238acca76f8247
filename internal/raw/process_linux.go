package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// OpenPidfd opens a pidfd of the process with that PID in the caller's PID namespace, or with thread, of a thread (Linux
// 6.9). The lower 32 bits count.
func OpenPidfd(pid int, thread bool) (int, syscall.Errno) {
	flags := uintptr(0)
	if thread {
		flags = unix.PIDFD_THREAD
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_PIDFD_OPEN, uintptr(pid), flags, 0)
	return descriptor(fd, errno)
}

// The two namespaces of a process that are for its children, besides the eight types.
const (
	PIDForChildren  = 1<<32 | species.CLONE_NEWPID
	TimeForChildren = 1<<32 | species.CLONE_NEWTIME
)

// PidfdRequest returns the request for PidfdNamespace, 0 if t is none of the ten.
func PidfdRequest(t species.NamespaceType) uint {
	switch t {
	case species.CLONE_NEWCGROUP:
		return unix.PIDFD_GET_CGROUP_NAMESPACE
	case species.CLONE_NEWIPC:
		return unix.PIDFD_GET_IPC_NAMESPACE
	case species.CLONE_NEWNS:
		return unix.PIDFD_GET_MNT_NAMESPACE
	case species.CLONE_NEWNET:
		return unix.PIDFD_GET_NET_NAMESPACE
	case species.CLONE_NEWPID:
		return unix.PIDFD_GET_PID_NAMESPACE
	case PIDForChildren:
		return unix.PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE
	case species.CLONE_NEWTIME:
		return unix.PIDFD_GET_TIME_NAMESPACE
	case TimeForChildren:
		return unix.PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE
	case species.CLONE_NEWUSER:
		return unix.PIDFD_GET_USER_NAMESPACE
	case species.CLONE_NEWUTS:
		return unix.PIDFD_GET_UTS_NAMESPACE
	}
	return 0
}

// PidfdNamespace opens a namespace of the process behind a pidfd (Linux 6.11).
func PidfdNamespace(pidfd int, request uint) (int, syscall.Errno) {
	return ioctlNoWait(pidfd, uintptr(request))
}

// ProcessInfo is what PidfdInfo tells of a process.
type ProcessInfo struct {
	TGID     int // of a thread, the PID of its process
	PPID     int
	UID, GID uint32 // real
	CgroupID uint64 // in the hierarchy of version 2
}

// PidfdInfo asks a pidfd about its process (PIDFD_GET_INFO, Linux 6.13).
func PidfdInfo(pidfd int, found *ProcessInfo) syscall.Errno {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_CGROUPID} // the others are always told
	errno := ioctlPointer(pidfd, unix.PIDFD_GET_INFO, unsafe.Pointer(&info))
	*found = ProcessInfo{TGID: int(info.Tgid), PPID: int(info.Ppid), UID: info.Ruid, GID: info.Rgid, CgroupID: info.Cgroupid}
	return errno
}

// GetFD returns a duplicate of another process's descriptor, which requires the right to trace the process. To close one
// of a file on a file system may have effects there.
func GetFD(pidfd, fd int) (int, syscall.Errno) {
	got, _, errno := unix.Syscall(unix.SYS_PIDFD_GETFD, uintptr(pidfd), uintptr(fd), 0)
	return descriptor(got, errno)
}
