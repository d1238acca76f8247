package discover

import (
	"cmp"
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
	id, idErr := sys.IDOf(fd.Int())
	t, typeErr := sys.TypeOf(fd.Int())
	if err := cmp.Or(idErr, typeErr); err != nil {
		return err
	}
	serial, err := sys.SerialOf(fd.Int(), n.Type)
	if id != n.ID || t != n.Type || err == nil && n.Serial != 0 && serial != n.Serial {
		return ErrStale
	}
	return nil
}

type way func() (*sys.FD, error)

const (
	maxDetour    = 8 // namespaces that may be opened on the way to one that is only an owner or parent
	maxPinDetour = 2 // how deep the mount namespaces may be pinned in each other on the way to a pin
	enough       = 8 // ways of a kind: if these are stale, the next are most likely too
)

func (n *Namespace) ways(detour int) []way {
	var ways []way
	stuck := false
	if n.Serial != 0 {
		ways = append(ways, func() (*sys.FD, error) {
			return sys.Own(sys.OpenHandle(raw.Handle{Serial: n.Serial, Type: n.Type, Inode: uint32(n.ID.Ino)}))
		})
	}
	count := map[HolderKind]int{}
	for r := range n.Holders() {
		if count[r.Kind]++; count[r.Kind] > enough {
			continue
		}
		w := func() (*sys.FD, error) { return n.follow(r) }
		if r.Kind == ByPin {
			w = patient(&stuck, w)
		}
		ways = append(ways, w)
		if r.Kind == ByPin && r.MountNamespace != nil && detour < maxPinDetour {
			// the processes there may have roots of their own, or be none
			inside := func(fd int) (*sys.FD, error) { return scan.OpenPin(fd, r.Path, n.ID) }
			ways = append(ways, patient(&stuck, r.MountNamespace.lead(detour, inside)))
		}
	}
	if n.Hidden() && detour < maxDetour {
		if len(n.Owned) > 0 {
			ways = append(ways, n.Owned[0].lead(detour, func(fd int) (*sys.FD, error) { return sys.Own(raw.Owner(fd)) }))
		}
		if n.Type == species.CLONE_NEWPID && len(n.Children) > 0 {
			ways = append(ways, n.Children[0].lead(detour, func(fd int) (*sys.FD, error) { return sys.Own(raw.Parent(fd)) }))
		}
	}
	return ways
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

// follow opens what a reference leads to. Anything but a namespace is not opened.
func (n *Namespace) follow(r Reference) (*sys.FD, error) {
	path := "/proc/" + strconv.Itoa(r.PID) // PID 0, of a pin that no process sees, is none
	if r.TID != 0 {
		path += "/task/" + strconv.Itoa(r.TID)
	}
	switch r.Kind {
	case ByProcess, ByTask:
		path += "/ns/" + n.Type.Name()
	case ForChildren:
		path += "/ns/" + n.Type.Name() + "_for_children"
	case ByFD:
		path += "/fd/" + strconv.Itoa(r.FD)
	case ByPin:
		path += "/root" + r.Path
	case BySocket, ByTun:
		return sys.NetworkOfOther(r.PID, r.FD, r.Kind == ByTun)
	case ByMessage:
		return sys.NamespaceInFlight(r.PID, r.FD, n.ID)
	default:
		return nil, errNoWay
	}
	text := raw.NewPath(path)
	return sys.Own(sys.OpenOn(n.ID.Dev, raw.CurrentDir, &text))
}

// lead is the way from a namespace to another one that it knows.
func (n *Namespace) lead(detour int, to func(fd int) (*sys.FD, error)) way {
	return func() (*sys.FD, error) {
		fd, err := n.open(detour + 1)
		if err != nil {
			return nil, err
		}
		defer func() { _ = fd.Close() }()
		return to(fd.Int())
	}
}
