package discover

import (
	"errors"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/scan"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

var errNoWay = errors.New("nothing leads there any more")

// Open opens the namespace again, through whatever was found to lead there: its file handle, a process, a task, a
// descriptor, a pin, or a namespace that it is the owner or parent of. The caller closes it. ErrStale: the namespace is
// gone, or what led there leads to another one by now; EACCES or EPERM instead: the caller lacks the rights to find out.
// PIDs are looked up in /proc. For a pin on a file system that does not answer it waits a second.
func (n *Namespace) Open() (*handle.NamespaceFile, error) {
	var f *handle.NamespaceFile
	fd, err := n.open(0)
	if err == nil {
		f, err = handle.NewNamespaceFile(sys.OSFile(fd, n.String()), nil)
	}
	if err != nil {
		return nil, &Error{Op: "open", Type: n.Type, Ref: n.String(), Err: err}
	}
	return f, nil
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
	if err := errors.Join(errs[2:]...); errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
		return nil, err
	}
	return nil, errors.Join(errs...)
}

// verify reports whether fd is of this very namespace.
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
	stuck := false
	if n.Serial != 0 {
		ways = append(ways, func() (*sys.FD, error) {
			return sys.Own(sys.OpenHandle(raw.Handle{Serial: n.Serial, Type: n.Type, Inode: uint32(n.ID.Ino)}))
		})
	}
	const enough = 8 // of a kind: if these are stale, the next are most likely too
	count := map[HolderKind]int{}
	for r := range n.Holders() {
		if count[r.Kind]++; count[r.Kind] > enough {
			continue
		}
		ways = append(ways, n.wayOf(r))
		if r.Kind == ByPin {
			ways[len(ways)-1] = patient(&stuck, ways[len(ways)-1])
			ways = append(ways, patient(&stuck, func() (*sys.FD, error) { return n.openInside(r, detour) }))
		}
	}
	return append(ways, n.relativesWays(detour)...)
}

// patient goes a way that may lead through a file system which does not answer: no further one, once one did not.
func patient(stuck *bool, w way) way {
	return func() (*sys.FD, error) {
		if *stuck {
			return nil, syscall.ETIMEDOUT
		}
		fd, err := scan.Within(defaultPatience, nil, w, func(fd *sys.FD) { _ = fd.Close() })
		*stuck = errors.Is(err, syscall.ETIMEDOUT)
		return fd, err
	}
}

// wayOf leads through a reference. Anything but a namespace is not opened.
func (n *Namespace) wayOf(r Reference) way {
	dir := "/proc/" + strconv.Itoa(r.PID)
	if r.TID != 0 {
		dir += "/task/" + strconv.Itoa(r.TID)
	}
	switch r.Kind {
	case ByProcess, ByTask:
		return n.opening(dir + "/ns/" + n.Type.Name())
	case ForChildren:
		return n.opening(dir + "/ns/" + n.Type.Name() + "_for_children")
	case ByFD:
		return n.opening(dir + "/fd/" + strconv.Itoa(r.FD))
	case BySocket, ByTun:
		return func() (*sys.FD, error) { return sys.NetworkOfOther(r.PID, r.FD, r.Kind == ByTun) }
	case ByMessage:
		return func() (*sys.FD, error) { return sys.NamespaceInFlight(r.PID, r.FD, n.ID) }
	case ByPin:
		if r.PID != 0 {
			return n.opening(dir + "/root" + r.Path)
		}
	}
	return func() (*sys.FD, error) { return nil, errNoWay }
}

func (n *Namespace) opening(path string) way {
	text := raw.NewPath(path)
	return func() (*sys.FD, error) { return sys.Own(sys.OpenOn(n.ID.Dev, raw.CurrentDir, &text)) }
}

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
	return scan.OpenPin(in.Int(), r.Path, n.ID)
}

// relativesWays leads from a namespace that it is the owner or parent of.
func (n *Namespace) relativesWays(detour int) []way {
	if detour == maxDetour {
		return nil
	}
	var ways []way
	add := func(from *Namespace, climb func(int) (int, syscall.Errno)) {
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
				return sys.Own(climb(fd.Int()))
			})
		}
	}
	if n.Hidden() && len(n.Owned) > 0 {
		add(n.Owned[0], raw.Owner)
	}
	if n.Hidden() && n.Type == species.CLONE_NEWPID && len(n.Children) > 0 {
		add(n.Children[0], raw.Parent)
	}
	return ways
}
