//go:build linux

package sys

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// OpenThread takes hold of the calling thread, whose goroutine is locked to it: OpenNamespace and NamespaceID then tell
// what "current" is, where /proc/self would show the main thread's. It holds a pidfd where there are such of threads
// (6.9) and they know their namespaces (6.11); otherwise it stands for whichever thread asks, through /proc.
func OpenThread() *Process {
	p := &Process{thread: true}
	if pretended(PidfdThread) || pretended(PidfdNamespaces) {
		return p
	}
	if fd, err := unix.PidfdOpen(unix.Gettid(), unix.PIDFD_THREAD); err == nil {
		p.fd = NewFD(fd)
	}
	return p
}

// OpenThreadNamespace opens the calling thread's namespace of type t.
func OpenThreadNamespace(t species.NamespaceType) (*FD, error) {
	p := OpenThread()
	defer func() { _ = p.Close() }()
	return p.OpenNamespace(t)
}

// ThreadNamespaceID returns the identity of the calling thread's namespace of type t.
func ThreadNamespaceID(t species.NamespaceType) (species.NamespaceID, error) {
	return idOfFD(OpenThreadNamespace(t))
}

// OwnTID returns the TID of the calling thread in its own PID namespace.
func OwnTID() int { return unix.Gettid() }

// AwaitThreadEnd waits for the end of a thread of this process that is about to end, but not for long.
func AwaitThreadEnd(tid int) {
	const patience, look = 20 * time.Millisecond, 20 * time.Microsecond
	own := os.Getpid()
	for deadline := time.Now().Add(patience); unix.Tgkill(own, tid, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(look)
	}
}
