package raw

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// OpenPidfd opens a pidfd of a process, or with thread, of a thread (Linux 6.9). The lower 32 bits of pid count.
func OpenPidfd(pid int, thread bool) (int, syscall.Errno) {
	flags := uintptr(0)
	if thread {
		flags = unix.PIDFD_THREAD
	}
	return descriptor(unix.RawSyscall(unix.SYS_PIDFD_OPEN, uintptr(pid), flags, 0))
}

// The two namespaces of a process that are for its children, besides the eight types.
const (
	ForChildren     = 1 << 32
	PIDForChildren  = ForChildren | species.CLONE_NEWPID
	TimeForChildren = ForChildren | species.CLONE_NEWTIME
)

// PidfdRequest returns the request for PidfdNamespace, 0 if t is none of the ten.
func PidfdRequest(t species.NamespaceType) uint { return pidfdRequests[t] }

var pidfdRequests = map[species.NamespaceType]uint{
	species.CLONE_NEWCGROUP: unix.PIDFD_GET_CGROUP_NAMESPACE,
	species.CLONE_NEWIPC:    unix.PIDFD_GET_IPC_NAMESPACE,
	species.CLONE_NEWNS:     unix.PIDFD_GET_MNT_NAMESPACE,
	species.CLONE_NEWNET:    unix.PIDFD_GET_NET_NAMESPACE,
	species.CLONE_NEWPID:    unix.PIDFD_GET_PID_NAMESPACE,
	PIDForChildren:          unix.PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE,
	species.CLONE_NEWTIME:   unix.PIDFD_GET_TIME_NAMESPACE,
	TimeForChildren:         unix.PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE,
	species.CLONE_NEWUSER:   unix.PIDFD_GET_USER_NAMESPACE,
	species.CLONE_NEWUTS:    unix.PIDFD_GET_UTS_NAMESPACE,
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

// GetFD returns a duplicate of another process's descriptor, which requires the right to trace the process. Closing it
// may have effects if it is of a file on a file system.
func GetFD(pidfd, fd int) (int, syscall.Errno) {
	return descriptor(unix.Syscall(unix.SYS_PIDFD_GETFD, uintptr(pidfd), uintptr(fd), 0))
}

// OwnPID returns the PID of this process in its own PID namespace.
var OwnPID = sync.OnceValue(unix.Getpid)

// OwnTID returns the TID of the calling thread in its own PID namespace.
func OwnTID() int {
	n, _ := unix.RawSyscallNoError(unix.SYS_GETTID, 0, 0, 0)
	return int(n)
}

// SharesFDs reports whether two threads have the same table of descriptors (kcmp(2)), or ENOSYS.
func SharesFDs(a, b int) (bool, syscall.Errno) { return equal(a, b, kcmpFiles, 0, 0) }

// SameFile reports whether two descriptors of this process are of the same open file (kcmp(2)), or ENOSYS.
func SameFile(a, b int) (bool, syscall.Errno) { return equal(OwnPID(), OwnPID(), kcmpFile, a, b) }

// IsLikeMainThread reports whether the calling thread has descriptors, root and mount namespace in common with the main
// one: a thread that has another mount namespace has a root of its own. It is false if the kernel cannot tell.
func IsLikeMainThread() bool {
	files, _ := equal(OwnPID(), OwnTID(), kcmpFiles, 0, 0)
	root, _ := equal(OwnPID(), OwnTID(), kcmpFS, 0, 0)
	return files && root
}

// What kcmp(2) compares.
const kcmpFile, kcmpFiles, kcmpFS = 0, 2, 3

func equal(a, b, what, fdOfA, fdOfB int) (bool, syscall.Errno) {
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), uintptr(what), uintptr(fdOfA), uintptr(fdOfB), 0)
	return order == 0 && errno == 0, errno
}

// SetIDs sets the real, effective and saved IDs of the calling thread alone: package syscall's functions are for all.
func SetIDs(uid, gid [3]int) syscall.Errno {
	_, _, errno := unix.RawSyscall(setresgid, uintptr(gid[0]), uintptr(gid[1]), uintptr(gid[2]))
	if errno == 0 {
		_, _, errno = unix.RawSyscall(setresuid, uintptr(uid[0]), uintptr(uid[1]), uintptr(uid[2]))
	}
	return errno
}
