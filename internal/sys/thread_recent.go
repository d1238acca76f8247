//go:build linux

package sys

import (
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// recent is a thread that opens its own network namespace again and again. A pidfd of it, kept, makes that twice as fast
// as the links of /proc (6.11). It keeps no namespace alive, and it cannot be mistaken for another thread's: a number that
// was given away belongs to a pidfd whose thread is gone, which says so (ESRCH).
var recent struct {
	busy   atomic.Bool // whoever set it has the rest for itself
	off    bool        // the kernel cannot do it, or the descriptor was taken from us
	tid    int
	pidfd  *FD // nil before the first
	misses int // by other threads, in a row
	// ours is the network namespace of the threads that nobody has switched. It is never asked, but while it is open,
	// the kernel needs not make a file of that namespace anew for each visit, which is most of what opening takes.
	ours *FD
}

// patience is after how many calls of others in a row one of them becomes the recent thread.
const patience = 8

// RawOpenNet opens the network namespace of the calling thread, whose number is tid. The goroutine is locked to it.
func RawOpenNet(tid int) (int, error) {
	if !pretended(PidfdThread) && !pretended(ProcLinks) && recent.busy.CompareAndSwap(false, true) {
		fd, ok := recentNet(tid)
		recent.busy.Store(false)
		if ok {
			return fd, nil
		}
	}
	return openCurrent(currentNet)
}

// OpenKept opens what is otherwise opened when it is first needed, and kept. It is for tests that count descriptors.
func OpenKept() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid, _ := RawThread()
	if fd, err := RawOpenNet(tid); err == nil {
		RawClose(fd)
	}
	_, _ = keptProcDir()
}

func recentNet(tid int) (fd int, ok bool) {
	if recent.off {
		return -1, false
	}
	if recent.tid == tid {
		recent.misses = 0
		if fd, errno := pidfdNet(); errno != unix.ESRCH {
			return fd, errno == 0
		}
		recent.misses = patience // it was another thread of that number
	}
	recent.misses++
	if recent.pidfd != nil && recent.misses <= patience || !becomeRecent(tid) {
		return -1, false
	}
	fd, errno := pidfdNet()
	return fd, errno == 0
}

var pidfdNetRequest = pidfdRequests[species.CLONE_NEWNET]

// pidfdNet does without the pidfd for good if that cannot be asked (before 6.11), or is none any more: some code that
// closes descriptors of others did so.
func pidfdNet() (int, syscall.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(recent.pidfd.raw), uintptr(pidfdNetRequest), 0)
	switch errno {
	case unix.ENOTTY, unix.EINVAL, unix.EBADF, unix.EOPNOTSUPP:
		recent.off = true
	}
	return int(fd), errno
}

// becomeRecent has the pidfd changed under the number that it has, for the sake of who counts descriptors.
func becomeRecent(tid int) bool {
	recent.misses = 0
	if recent.pidfd == nil {
		return becomeFirst(tid)
	}
	fd, err := openPidfd(tid, unix.PIDFD_THREAD)
	if err != nil {
		return false
	}
	defer func() { _ = fd.Close() }()
	if err := unix.Dup3(fd.raw, recent.pidfd.raw, unix.O_CLOEXEC); err != nil {
		return false
	}
	recent.tid = tid
	return true
}

func becomeFirst(tid int) bool {
	if recent.ours == nil {
		recent.ours, _ = keep(func() (*FD, error) { return OpenNamespace("/proc/thread-self/ns/net") })
	}
	fd, err := keep(func() (*FD, error) { return openPidfd(tid, unix.PIDFD_THREAD) })
	if err != nil {
		recent.off = err == unix.EINVAL // before 6.9
		return false
	}
	recent.pidfd, recent.tid = fd, tid
	return true
}
