package sys

import (
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// A visit to a namespace begins with these functions. They allocate nothing and return descriptors as numbers, which
// raw.CloseNoWait closes.

// OpenCurrent opens the calling thread's namespace of type t, to which raw.SetnsNoWait leads back; of PID namespaces
// that for children. The goroutine is locked. The /proc that is read is the process's own, not that of a container.
func OpenCurrent(t species.NamespaceType) (int, error) {
	link, ok := currentLinks[t]
	switch {
	case !ok:
		return raw.NoFD, unix.EINVAL
	case pretended(ProcLinks):
		return raw.NoFD, unix.ENOENT
	}
	proc, err := keptProcDir()
	if err != nil {
		return raw.NoFD, err
	}
	fd, errno := raw.OpenNoWait(proc.number, link, unix.O_RDONLY)
	return fd, asError(errno)
}

var currentLinks = func() map[species.NamespaceType]*raw.Path {
	links := map[species.NamespaceType]*raw.Path{}
	for t := range species.Set(species.AllNS).All() {
		path := raw.NewPath("thread-self/ns/" + t.Name())
		links[t] = &path
	}
	*links[species.CLONE_NEWPID] = raw.NewPath("thread-self/ns/pid_for_children")
	return links
}()

// recent is a thread that often opens its own network namespace. A pidfd of it, which is kept, is twice as fast as the
// links of /proc (Linux 6.11). It keeps no namespace alive. If the thread has ended and another has its number, the
// pidfd says so (ESRCH).
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

// OpenCurrentNet opens the network namespace of the calling thread, whose number is tid. The goroutine is locked to it.
func OpenCurrentNet(tid int) (int, error) {
	if !pretended(PidfdThread) && !pretended(ProcLinks) && recent.busy.CompareAndSwap(false, true) {
		fd, ok := recentNet(tid)
		recent.busy.Store(false)
		if ok {
			return fd, nil
		}
	}
	return OpenCurrent(species.CLONE_NEWNET)
}

func recentNet(tid int) (fd int, ok bool) {
	if recent.off {
		return raw.NoFD, false
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
		return raw.NoFD, false
	}
	fd, errno := pidfdNet()
	return fd, errno == 0
}

// pidfdNet gives the pidfd up if it cannot be asked (before Linux 6.11), or somebody has closed it.
func pidfdNet() (int, syscall.Errno) {
	fd, errno := raw.PidfdNamespace(recent.pidfd.number, unix.PIDFD_GET_NET_NAMESPACE)
	switch errno {
	case unix.ENOTTY, unix.EINVAL, unix.EBADF, unix.EOPNOTSUPP:
		recent.off = true
	}
	return fd, errno
}

// becomeRecent has the pidfd changed under the number that it has, for the sake of who counts descriptors.
func becomeRecent(tid int) bool {
	recent.misses = 0
	if recent.pidfd == nil {
		return becomeFirst(tid)
	}
	fd, err := openPidfd(tid, true)
	if err != nil {
		return false
	}
	defer func() { _ = fd.Close() }()
	if err := unix.Dup3(fd.number, recent.pidfd.number, unix.O_CLOEXEC); err != nil {
		return false
	}
	recent.tid = tid
	return true
}

func becomeFirst(tid int) bool {
	if recent.ours == nil {
		recent.ours, _ = keep(func() (*FD, error) { return OpenNamespace("/proc/thread-self/ns/net") })
	}
	fd, err := keep(func() (*FD, error) { return openPidfd(tid, true) })
	if err != nil {
		recent.off = err == unix.EINVAL // before 6.9
		return false
	}
	recent.pidfd, recent.tid = fd, tid
	return true
}
