package sys

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// OpenNamespace opens the process's namespace of type t: that of its first thread, or if that has ended, of another one.
// It goes through the pidfd, and before 6.11 through /proc, after which the pidfd is asked whether the process was still
// there. ESRCH: it is gone, or a zombie. It takes the right to inspect the process (man 2 ptrace,
// PTRACE_MODE_READ_FSCREDS); EACCES otherwise.
func (p *Process) OpenNamespace(t species.NamespaceType) (*FD, error) {
	fd, err := p.openNamespace(t)
	if other := p.insteadOf(err); other != nil {
		defer func() { _ = other.Close() }()
		return other.openNamespace(t)
	}
	return fd, err
}

func (p *Process) openNamespace(t species.NamespaceType) (*FD, error) {
	defer runtime.KeepAlive(p)
	if p.fd != nil && !pretended(PidfdNamespaces) {
		fd, err := Own(raw.PidfdNamespace(p.fd.Int(), raw.PidfdRequest(t)))
		if err != unix.ENOTTY && err != unix.EINVAL {
			return fd, err
		}
	}
	dir, err := p.ProcDir()
	if err != nil {
		return nil, err
	}
	fd, err := OpenNamespace(dir + "/ns/" + t.Name())
	if !p.Alive() {
		_ = fd.Close()
		return nil, unix.ESRCH
	}
	return fd, gone(err)
}

// NamespaceID returns the identity of the process's namespace of type t. Errors are those of OpenNamespace.
func (p *Process) NamespaceID(t species.NamespaceType) (species.NamespaceID, error) {
	defer runtime.KeepAlive(p)
	if p.fd != nil && !pretended(PidfdNamespaces) {
		if fd, errno := raw.PidfdNamespace(p.fd.Int(), raw.PidfdRequest(t)); errno == 0 {
			id, err := IDOf(fd)
			raw.CloseNoWait(fd)
			return id, err
		}
	}
	return idOfFD(p.OpenNamespace(t))
}

// BirthNamespaceID returns the identity of the namespace of type t that a program starts in which the thread executes.
// For PID and time namespaces that is not always the thread's own: see man 2 unshare. The error is ErrNotSupported if it
// is a PID namespace that has no first process yet.
func (p *Process) BirthNamespaceID(t species.NamespaceType) (species.NamespaceID, error) {
	const differ = species.Set(species.CLONE_NEWPID | species.CLONE_NEWTIME)
	if !differ.Has(t) {
		return p.NamespaceID(t)
	}
	if p.fd != nil && !pretended(PidfdNamespaces) {
		request := raw.PidfdRequest(raw.PIDForChildren)
		if t == species.CLONE_NEWTIME {
			request = raw.PidfdRequest(raw.TimeForChildren)
		}
		if fd, err := Own(raw.PidfdNamespace(p.fd.Int(), request)); err == nil {
			return idOfFD(fd, nil)
		}
	}
	dir, err := p.ProcDir()
	if err != nil {
		return species.NoneID, err
	}
	id, err := idOfFD(OpenNamespace(dir + "/ns/" + t.Name() + "_for_children"))
	if err == unix.ENOENT {
		return species.NoneID, fmt.Errorf("this thread's children start a %s namespace of their own: %w", t.Name(), ErrNotSupported)
	}
	return id, err
}
