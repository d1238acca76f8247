package handle

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// GetFromDocker returns a handle of a running container's namespace, by the container's ID, the beginning of it, or its
// name; see the function GetFromDocker. It finds the container in the cgroup hierarchies of the calling thread's mount
// namespace, of version 1, 2 or both, and asks no daemon.
//
// An ID is 64 hexadecimal digits, or what users of containerd, runc or crun chose, which has to be complete, like
// names. Names are in the state folders of the runtimes, and in the arguments of their processes, if the caller may
// read these. An ID or a name precedes the beginning of an ID; a name that two running containers have is ErrAmbiguous.
//
// Whoever may make cgroups may make one with the name of another's container. So a cgroup counts only where nobody but
// root and the caller may make one: not below a directory that others may write, such as those of rootless engines
// unless the caller is that user, and not inside the cgroup of another container. If there are no others, it is
// ErrUnknownContainer; use [Of.GetFromPid] then. Two cgroups of that name, in several hierarchies, without a process in
// common and with different namespaces are ErrAmbiguous.
func (o Of) GetFromDocker(id string) (NsHandle, error) {
	ref := "container " + strconv.Quote(id)
	if err := o.valid("open", ref); err != nil {
		return None(), err
	}
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return None(), o.err("open", ref, err)
	}
	hierarchies := container.Hierarchies(text)
	known := engines.New("", hierarchies, text)
	if !looksLikeID(id) {
		known.AddProcesses("/proc")
	}
	known.Search()
	return o.fromContainer(id, hierarchies, known)
}

// fromContainer searches the cgroups of these hierarchies.
func (o Of) fromContainer(id string, hierarchies []container.Hierarchy, known *engines.Engines) (NsHandle, error) {
	var fd *sys.FD
	cgroups, err := findContainer(id, hierarchies, known)
	if err == nil {
		fd, err = openShared(cgroups, o.t())
	}
	if fd == nil && err == nil {
		fd, err = openCommon(cgroups, o.t())
	}
	return o.own(fd, "container "+strconv.Quote(id), err)
}

// openShared opens the namespace of a process that is in all the cgroups, which those of one container have in all
// hierarchies: nobody can put another's process into a cgroup of their own. Without such a process it returns nil.
func openShared(cgroups []cgroup, t species.NamespaceType) (fd *sys.FD, err error) {
	shared := cgroups[0].processes()
	for _, c := range cgroups[1:] {
		there := c.processes()
		shared = slices.DeleteFunc(shared, func(pid int) bool { return !slices.Contains(there, pid) })
	}
	for _, pid := range shared {
		fd, openErr := openMember(cgroups, pid, t)
		if openErr == nil {
			return fd, nil
		}
		if !errors.Is(openErr, ErrStale) {
			err = openErr
		}
	}
	return nil, err
}

// openCommon opens the namespace of all the cgroups, which have no process in common: they may be two containers' with
// the same name.
func openCommon(cgroups []cgroup, t species.NamespaceType) (common *sys.FD, err error) {
	err = ErrUnknownContainer
	for _, c := range cgroups {
		fd, openErr := openShared([]cgroup{c}, t)
		switch {
		case openErr != nil:
			err = openErr
		case common == nil:
			common = fd
		case fd != nil:
			same := NsHandle(fd.Int()).Equal(NsHandle(common.Int()))
			_ = fd.Close()
			if !same {
				_ = common.Close()
				return nil, fmt.Errorf("%w: %s", ErrAmbiguous, listed(cgroups))
			}
		}
	}
	if common != nil {
		return common, nil
	}
	return nil, err
}

// openMember opens a namespace of a process of cgroups. If the cgroups have the PID after the pidfd was opened, and the
// process has not ended, it is the right process.
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
