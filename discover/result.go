package discover

import (
	"cmp"
	"slices"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/species"
)

// Result is a snapshot of the namespaces of the machine: the caller's to keep, safe for concurrent reading, without a
// descriptor. It is not one instant: the machine went on while it was taken.
type Result struct {
	Options    Options       // as they were used, defaults filled in
	Device     uint64        // of all namespaces: NamespaceID.Dev
	Namespaces []*Namespace  // sorted by type, in the order of species, then by inode number
	Processes  []*Process    // sorted by PID
	Containers []*Container  // sorted by ID, which those of different users or runtimes may share
	Mounts     []*MountTable // with MountTables: one for each mount namespace, sorted by its ID
	Problems   []Problem     // what could not be seen

	facts *facts.Facts // that it was made of, for Rescan; nil if it was put together by hand
}

// OfType returns the namespaces of a type, sorted by inode number. It is a part of Namespaces.
func (r *Result) OfType(t species.NamespaceType) []*Namespace { return rangeOf(r.Namespaces, t) }

// Namespace returns the namespace with that ID, nil if there is none. A Dev of 0 stands for that of all namespaces, so
// that it takes what species.IDwithType returns.
func (r *Result) Namespace(id species.NamespaceID) *Namespace {
	if id.Dev != 0 && id.Dev != r.Device {
		return nil
	}
	for _, t := range facts.Types {
		list := r.OfType(t)
		at, ok := slices.BinarySearchFunc(list, id.Ino, func(n *Namespace, ino uint64) int { return cmp.Compare(n.ID.Ino, ino) })
		if ok {
			return list[at]
		}
	}
	return nil
}

// Process returns the process with that PID, nil if there is none.
func (r *Result) Process(pid int) *Process {
	at, ok := slices.BinarySearchFunc(r.Processes, pid, func(p *Process, pid int) int { return cmp.Compare(p.PID, pid) })
	if !ok {
		return nil
	}
	return r.Processes[at]
}

// Initial returns the namespace of that type that is there from boot, nil if it was not seen.
func (r *Result) Initial(t species.NamespaceType) *Namespace {
	for _, n := range r.OfType(t) {
		if n.Initial {
			return n
		}
	}
	return nil
}

// UserRoots returns the user namespaces without a parent, or with one that the caller may not know.
func (r *Result) UserRoots() []*Namespace { return roots(r.OfType(species.CLONE_NEWUSER)) }

// PIDRoots returns the PID namespaces without a parent, or with one that the caller may not know.
func (r *Result) PIDRoots() []*Namespace { return roots(r.OfType(species.CLONE_NEWPID)) }

func roots(list []*Namespace) []*Namespace {
	return slices.DeleteFunc(slices.Clone(list), func(n *Namespace) bool { return n.Parent != nil })
}
