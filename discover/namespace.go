package discover

import (
	"iter"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/species"
)

// Namespace is one namespace, as it was found. It holds nothing open and keeps nothing alive.
type Namespace struct {
	ID      species.NamespaceID   // device and inode number, which is used again once the namespace is gone
	Serial  uint64                // the 64-bit ID that is never used again; 0 if not known, as before Linux 6.18 (mnt: 6.11)
	Type    species.NamespaceType // one of the eight
	Initial bool                  // there from boot; see species.IsInitialInode for what that means before Linux 6.17

	Owner       *Namespace // user namespace with rights over it, of a user namespace the parent; nil: see OwnerHidden
	OwnerHidden bool       // there is an owner, but the caller may not know it
	OwnerUID    int        // who created the owner, of a user namespace who created itself; -1: not known
	OwnerName   string     // the user's name in /etc/passwd, "" if there is none

	Parent       *Namespace   // of user and PID namespaces; nil: see ParentHidden
	ParentHidden bool         // there is a parent, but the caller may not know it
	Children     []*Namespace // sorted by ID
	Owned        []*Namespace // of which it is the Owner, sorted by type and ID

	Processes  []*Process  // in it, sorted by PID
	Leader     *Process    // the most senior leader: the first to have started; nil: there is no process in it
	Leaders    []*Process  // processes in it whose parents are not, the most senior first
	Tasks      int         // number of threads in it, those that are like their process included
	StrayTasks []*Task     // threads in it whose process is not, sorted by PID and TID
	References []Reference // what else holds it, or leads to it, sorted by kind
}

// Hidden reports whether it is known only as somebody's parent or owner: nothing that was looked at leads there directly.
func (n *Namespace) Hidden() bool {
	return len(n.Processes) == 0 && len(n.StrayTasks) == 0 && len(n.References) == 0
}

// Cgroup returns the path of the leader's cgroup, "" if that is not known.
func (n *Namespace) Cgroup() string {
	if n.Leader == nil {
		return ""
	}
	return n.Leader.Cgroup
}

// Container returns the container that the leader is in, nil if there is none or that is not known.
func (n *Namespace) Container() *Container {
	if n.Leader == nil {
		return nil
	}
	return n.Leader.Container
}

// String returns the text of the namespace's link, such as net:[4026531840].
func (n *Namespace) String() string {
	if n == nil {
		return "no namespace"
	}
	return n.ID.LinkText(n.Type)
}

// Holders returns all that was found to hold the namespace: its processes, its stray tasks, then References.
func (n *Namespace) Holders() iter.Seq[Reference] {
	return func(yield func(Reference) bool) {
		for _, p := range n.Processes {
			if !yield(Reference{Kind: ByProcess, PID: p.PID}) {
				return
			}
		}
		for _, t := range n.StrayTasks {
			if !yield(Reference{Kind: ByTask, PID: t.Process.PID, TID: t.TID}) {
				return
			}
		}
		for _, r := range n.References {
			if !yield(r) {
				return
			}
		}
	}
}

// NamespacesSet has a namespace of each type, nil where it is not known.
type NamespacesSet [8]*Namespace

// Of returns the namespace of that type.
func (s *NamespacesSet) Of(t species.NamespaceType) *Namespace {
	if i := facts.TypeIndex(t); i >= 0 {
		return s[i]
	}
	return nil
}
