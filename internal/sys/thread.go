//go:build linux

package sys

import (
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// OpenThreadNamespace opens the calling thread's namespace of type t: /proc/self would show the main thread's. The
// goroutine is locked to its thread. Without 6.11 it needs /proc.
func OpenThreadNamespace(t species.NamespaceType) (*FD, error) {
	if !pretended(PidfdThread) && !pretended(PidfdNamespaces) {
		fd, err := unix.PidfdOpen(unix.Gettid(), unix.PIDFD_THREAD)
		if err == nil {
			p := &Process{fd: NewFD(fd), thread: true}
			defer func() { _ = p.Close() }()
			ns, err := open(func() (int, error) { return unix.IoctlRetInt(fd, pidfdRequests[t]) })
			if err != unix.ENOTTY && err != unix.EINVAL {
				return ns, err
			}
		}
	}
	if err := checkProc(); err != nil {
		return nil, err
	}
	return OpenNamespace("/proc/thread-self/ns/" + t.Name())
}

// ThreadNamespaceID returns the identity of the calling thread's namespace of type t.
func ThreadNamespaceID(t species.NamespaceType) (species.NamespaceID, error) {
	return idOfFD(OpenThreadNamespace(t))
}
