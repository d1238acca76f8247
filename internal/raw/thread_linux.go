package raw

import (
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// OwnPID returns the PID of this process in its own PID namespace.
func OwnPID() int { return ownPID() }

var ownPID = sync.OnceValue(unix.Getpid)

// OwnTID returns the TID of the calling thread in its own PID namespace.
func OwnTID() int {
	n, _ := unix.RawSyscallNoError(unix.SYS_GETTID, 0, 0, 0)
	return int(n)
}

// Thread returns the TID of the calling thread, and whether it is the main one: the process's first, whose namespaces are
// those that /proc/PID/ns shows, and which the Go runtime never ends.
func Thread() (tid int, main bool) {
	tid = OwnTID()
	return tid, tid == OwnPID()
}

// SharesFDs reports whether two threads have the same table of descriptors (kcmp(2)). ENOSYS: the kernel cannot tell.
func SharesFDs(a, b int) (bool, syscall.Errno) { return shares(a, b, kcmpFiles) }

// IsLikeMainThread reports whether the calling thread has descriptors, root and mount namespace in common with the main
// one: a thread that has another mount namespace has a root of its own. It is false if the kernel cannot tell.
func IsLikeMainThread() bool {
	files, errno := shares(OwnPID(), OwnTID(), kcmpFiles)
	if errno != 0 || !files {
		return false
	}
	root, errno := shares(OwnPID(), OwnTID(), kcmpFS)
	return errno == 0 && root
}

// What kcmp(2) compares.
const kcmpFiles, kcmpFS = 2, 3

func shares(a, b, what int) (bool, syscall.Errno) {
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), uintptr(what), 0, 0, 0)
	return order == 0, errno
}

// SetIDs sets the real, effective and saved IDs of the calling thread alone: package syscall's functions are for all.
func SetIDs(uid, gid [3]int) syscall.Errno {
	_, _, errno := unix.RawSyscall(setresgid, uintptr(gid[0]), uintptr(gid[1]), uintptr(gid[2]))
	if errno == 0 {
		_, _, errno = unix.RawSyscall(setresuid, uintptr(uid[0]), uintptr(uid[1]), uintptr(uid[2]))
	}
	return errno
}
