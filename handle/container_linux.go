package handle

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// GetFromDocker returns a handle of a running container's namespace, by the container's id or the beginning of it; see
// the function GetFromDocker. It finds the container in the cgroup hierarchies that the calling thread's mount namespace
// has, of version 1, 2 or both, whoever made its cgroup there, and asks no daemon.
//
// An id is 64 hexadecimal digits. Names that users gave to containerd or runc are found if they are complete.
//
// Whoever may make cgroups may make one with the name of another's container. So a cgroup counts only where nobody but
// root and the caller may make one: not below a directory that others may write, such as those of rootless engines
// unless the caller is that user, and not inside the cgroup of another container. If there are no others, it is
// ErrUnknownContainer; [Of.GetFromPid] finds what is known otherwise. What several hierarchies have must be the same:
// two cgroups of that name without a process in common and with different namespaces are ErrAmbiguous.
func (o Of) GetFromDocker(id string) (NsHandle, error) {
	ref := "container " + strconv.Quote(id)
	if err := o.valid("open", ref); err != nil {
		return None(), err
	}
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return None(), o.err("open", ref, err)
	}
	return o.fromContainer(id, container.Hierarchies(text))
}

// fromContainer looks below the mount points of cgroup hierarchies.
func (o Of) fromContainer(id string, hierarchies []container.Hierarchy) (NsHandle, error) {
	ref := "container " + strconv.Quote(id)
	cgroups, err := findContainer(id, hierarchies)
	if err != nil {
		return None(), o.err("open", ref, err)
	}
	fd, err := openShared(cgroups, o.t())
	if fd == nil && err == nil {
		fd, err = openCommon(cgroups, o.t())
	}
	return o.own(fd, ref, err)
}

// openShared opens the namespace of a process that is in all the cgroups, as those of a container are that has one in
// each hierarchy: nobody can put another's process into a cgroup of their own. It returns nil and no error if there is none.
func openShared(cgroups []cgroup, t species.NamespaceType) (fd *sys.FD, err error) {
	shared := cgroups[0].processes()
	for _, c := range cgroups[1:] {
		there := c.processes()
		shared = slices.DeleteFunc(shared, func(pid int) bool { return !slices.Contains(there, pid) })
	}
	for _, pid := range shared {
		fd, openErr := openMember(cgroups, pid, t)
		switch {
		case openErr == nil:
			return fd, nil
		case !errors.Is(openErr, ErrStale):
			err = openErr
		}
	}
	return nil, err
}

// openCommon opens the namespace that the cgroups have in common although they have no process in common: the names of
// two containers may be the same.
func openCommon(cgroups []cgroup, t species.NamespaceType) (common *sys.FD, err error) {
	err = ErrUnknownContainer
	for _, c := range cgroups {
		fd, openErr := openShared([]cgroup{c}, t)
		switch {
		case openErr != nil:
			err = openErr
		case fd == nil:
		case common == nil:
			common = fd
		default:
			same := NsHandle(fd.Int()).Equal(NsHandle(common.Int()))
			_ = fd.Close()
			if !same {
				_ = common.Close()
				return nil, fmt.Errorf("%w: %s", ErrAmbiguous, listed(cgroups))
			}
		}
	}
	if common != nil {
		err = nil
	}
	return common, err
}

// openMember opens a namespace of a process of cgroups. Once the pidfd is open, the PID cannot change hands unnoticed; so
// if the cgroups have it then, it is the right process.
func openMember(cgroups []cgroup, pid int, t species.NamespaceType) (*sys.FD, error) {
	p, err := openProcess(pid)
	if errors.Is(err, syscall.ESRCH) {
		return nil, fmt.Errorf("process %d has ended: %w: %w", pid, ErrStale, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }()
	left := func(c cgroup) bool { return !slices.Contains(c.processes(), pid) }
	if slices.ContainsFunc(cgroups, left) || !p.Alive() {
		return nil, fmt.Errorf("process %d has left: %w: %w", pid, ErrStale, syscall.ESRCH)
	}
	fd, err := p.OpenNamespace(t)
	return fd, uninspected(p, err)
}
