package discover

import (
	"errors"
	"strconv"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

var errNoWay = errors.New("nothing leads there any more")

// Open opens the namespace again, through whatever was found to lead there: its file handle, a process, a task, a
// descriptor, a pin, or a namespace that it is the owner or parent of. The caller closes it. ErrStale: the namespace is
// gone, or what led there leads to another one by now. PIDs are looked up in /proc.
func (n *Namespace) Open() (*handle.NamespaceFile, error) {
	fd, err := n.open(0)
	if err != nil {
		return nil, &Error{Op: "open", Type: n.Type, Ref: n.String(), Err: err}
	}
	return handle.NewNamespaceFile(sys.OSFile(fd, n.String()), nil)
}

func (n *Namespace) open(detour int) (*sys.FD, error) {
	errs := []error{ErrStale, errNoWay}
	for _, way := range n.ways(detour) {
		fd, err := way()
		if err == nil {
			if err = n.verify(fd); err == nil {
				return fd, nil
			}
			_ = fd.Close()
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// verify says whether fd is of this very namespace.
func (n *Namespace) verify(fd *sys.FD) error {
	id, err := sys.IDOf(fd.Int())
	if err != nil {
		return err
	}
	t, err := sys.TypeOf(fd.Int())
	if err != nil {
		return err
	}
	if id != n.ID || t != n.Type {
		return ErrStale
	}
	if serial, err := sys.SerialOf(fd.Int(), n.Type); err == nil && n.Serial != 0 && serial != n.Serial {
		return ErrStale
	}
	return nil
}

type way func() (*sys.FD, error)

// maxDetour is how many namespaces may be opened on the way to one that is only an owner or parent.
const maxDetour = 8

func (n *Namespace) ways(detour int) []way {
	var ways []way
	if n.Serial != 0 {
		ways = append(ways, func() (*sys.FD, error) {
			return sys.NamespaceHandle{Serial: n.Serial, Type: n.Type, Inode: uint32(n.ID.Ino)}.Open()
		})
	}
	const enough = 8 // if these are stale, the next are most likely too
	count := 0
	for r := range n.Holders() {
		if count++; count > enough {
			break
		}
		ways = append(ways, n.wayOf(r))
		if r.Kind == ByPin {
			ways = append(ways, func() (*sys.FD, error) { return n.openInside(r, detour) })
		}
	}
	return append(ways, n.relativesWays(detour)...)
}

// wayOf leads through a reference. Anything but a namespace is not opened.
func (n *Namespace) wayOf(r Reference) way {
	dir := "/proc/" + strconv.Itoa(r.PID)
	if r.TID != 0 {
		dir += "/task/" + strconv.Itoa(r.TID)
	}
	switch r.Kind {
	case ByProcess, ByTask:
		return opening(dir + "/ns/" + n.Type.Name())
	case ForChildren:
		return opening(dir + "/ns/" + n.Type.Name() + "_for_children")
	case ByFD:
		return opening(dir + "/fd/" + strconv.Itoa(r.FD))
	case BySocket, ByTun:
		return func() (*sys.FD, error) { return sys.NetworkOfOther(r.PID, r.FD, r.Kind == ByTun) }
	case ByMessage:
		return func() (*sys.FD, error) { return sys.NamespaceInFlight(r.PID, r.FD, n.ID) }
	case ByPin:
		if r.PID != 0 {
			return opening(dir + "/root" + r.Path)
		}
	}
	return func() (*sys.FD, error) { return nil, errNoWay }
}

func opening(path string) way { return func() (*sys.FD, error) { return sys.OpenNamespace(path) } }

// maxPinDetour is how deep the mount namespaces may be pinned in each other on the way to a pin.
const maxPinDetour = 2

// openInside opens a pin from inside the mount namespace. The processes there may have roots of their own, or be none.
func (n *Namespace) openInside(r Reference, detour int) (*sys.FD, error) {
	if r.MountNamespace == nil || detour >= maxPinDetour {
		return nil, errNoWay
	}
	in, err := r.MountNamespace.open(detour + 1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	return reopen(findIn(in.Int(), unknownPin{n: n, path: r.Path}))
}

// relativesWays leads from a namespace that it is the owner or parent of.
func (n *Namespace) relativesWays(detour int) []way {
	if detour == maxDetour {
		return nil
	}
	var ways []way
	add := func(from *Namespace, climb func(int) (*sys.FD, error)) {
		for _, w := range from.ways(detour + 1) {
			ways = append(ways, func() (*sys.FD, error) {
				fd, err := w()
				if err != nil {
					return nil, err
				}
				defer func() { _ = fd.Close() }()
				if err := from.verify(fd); err != nil {
					return nil, err
				}
				return climb(fd.Int())
			})
		}
	}
	if n.Hidden() && len(n.Owned) > 0 {
		add(n.Owned[0], sys.OwnerOf)
	}
	if n.Hidden() && n.Type == species.CLONE_NEWPID && len(n.Children) > 0 {
		add(n.Children[0], sys.ParentOf)
	}
	return ways
}
