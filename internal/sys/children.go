//go:build linux

package sys

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// birthRequests are PIDFD_GET_{PID,TIME}_FOR_CHILDREN_NAMESPACE of linux/pidfd.h.
var birthRequests = map[species.NamespaceType]uint{species.CLONE_NEWPID: 0xff06, species.CLONE_NEWTIME: 0xff08}

// BirthNamespaceID returns the identity of the namespace of type t that a program starts in which the thread executes.
// For PID and time namespaces that is not always the thread's own: see man 2 unshare. The error is ErrNotSupported if it
// is a PID namespace that has no first process yet.
func (p *Process) BirthNamespaceID(t species.NamespaceType) (species.NamespaceID, error) {
	request, differs := birthRequests[t]
	if !differs {
		return p.NamespaceID(t)
	}
	if p.fd != nil && !pretended(PidfdNamespaces) {
		if fd, err := open(func() (int, error) { return unix.IoctlRetInt(p.fd.Int(), request) }); err == nil {
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
