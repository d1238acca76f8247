package discover

import (
	"cmp"
	"maps"
	"slices"
	"sort"

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
		if n := find(r.OfType(t), id.Ino, func(n *Namespace) uint64 { return n.ID.Ino }); n != nil {
			return n
		}
	}
	return nil
}

// Process returns the process with that PID, nil if there is none.
func (r *Result) Process(pid int) *Process {
	return find(r.Processes, pid, func(p *Process) int { return p.PID })
}

// find returns the element with that key of a list that is sorted by keys, nil if there is none.
func find[T any, K cmp.Ordered](list []*T, key K, keyOf func(*T) K) *T {
	at, ok := slices.BinarySearchFunc(list, key, func(one *T, key K) int { return cmp.Compare(keyOf(one), key) })
	if !ok {
		return nil
	}
	return list[at]
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

// SortNamespaces sorts by type, in the order in which species lists them, and then by inode number.
func SortNamespaces(list []*Namespace) { slices.SortFunc(list, compareNamespaces) }

// SortChildNamespaces sorts children as Namespace.Children are: by inode number.
func SortChildNamespaces(list []*Namespace) { SortNamespaces(list) }

// SortedNamespaces returns the namespaces of a map, sorted by SortNamespaces.
func SortedNamespaces[K comparable](m map[K]*Namespace) []*Namespace {
	return slices.SortedFunc(maps.Values(m), compareNamespaces)
}

func compareNamespaces(a, b *Namespace) int {
	return cmp.Or(facts.TypeIndex(a.Type)-facts.TypeIndex(b.Type), cmp.Compare(a.ID.Ino, b.ID.Ino), cmp.Compare(a.ID.Dev, b.ID.Dev))
}

func compareSeniority(a, b *Process) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), a.PID-b.PID)
}

func compareTasks(a, b *Task) int {
	return cmp.Or(a.Process.PID-b.Process.PID, a.TID-b.TID)
}

// rangeOf returns those of a type in a list sorted by SortNamespaces.
func rangeOf(list []*Namespace, t species.NamespaceType) []*Namespace {
	index := facts.TypeIndex(t)
	if index < 0 {
		return nil
	}
	at := func(index int) int {
		return sort.Search(len(list), func(i int) bool { return facts.TypeIndex(list[i].Type) >= index })
	}
	start, end := at(index), at(index+1)
	return list[start:end:end]
}
