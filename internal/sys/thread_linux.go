package sys

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
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
	if fd, err := openPidfd(raw.OwnTID(), true); err == nil {
		p.fd = fd
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

// AwaitThreadEnd waits for the end of a thread of this process that is about to end, but not for long.
func AwaitThreadEnd(tid int) {
	const patience, look = 20 * time.Millisecond, 20 * time.Microsecond
	own := raw.OwnPID()
	for deadline := time.Now().Add(patience); unix.Tgkill(own, tid, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(look)
	}
}

// OnMainThread reports whether the calling thread is the process's first; see raw.Thread.
func OnMainThread() bool {
	_, main := raw.Thread()
	return main
}
