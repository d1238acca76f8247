package discover

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/species"
)

// SortNamespaces sorts by type, in the order in which species lists them, and then by inode number.
func SortNamespaces(list []*Namespace) { slices.SortFunc(list, compareNamespaces) }

// SortChildNamespaces sorts children as Namespace.Children are: by inode number.
func SortChildNamespaces(list []*Namespace) { SortNamespaces(list) }

// SortedNamespaces returns the namespaces of a map, sorted by SortNamespaces.
func SortedNamespaces[K comparable](m map[K]*Namespace) []*Namespace {
	return slices.SortedFunc(maps.Values(m), compareNamespaces)
}

func compareNamespaces(a, b *Namespace) int {
	if a.Type != b.Type {
		return cmp.Compare(facts.TypeIndex(a.Type), facts.TypeIndex(b.Type))
	}
	if a.ID.Ino != b.ID.Ino {
		return cmp.Compare(a.ID.Ino, b.ID.Ino)
	}
	return cmp.Compare(a.ID.Dev, b.ID.Dev)
}

func compareSeniority(a, b *Process) int {
	if a.Start != b.Start {
		return cmp.Compare(a.Start, b.Start)
	}
	return cmp.Compare(a.PID, b.PID)
}

func compareTasks(a, b *Task) int {
	return cmp.Or(cmp.Compare(a.Process.PID, b.Process.PID), cmp.Compare(a.TID, b.TID))
}

// rangeOf returns those of a type in a list sorted by SortNamespaces.
func rangeOf(list []*Namespace, t species.NamespaceType) []*Namespace {
	if facts.TypeIndex(t) < 0 {
		return nil
	}
	at := func(slotted int) int {
		i, _ := slices.BinarySearchFunc(list, slotted, func(n *Namespace, s int) int { return cmp.Compare(facts.TypeIndex(n.Type), s) })
		return i
	}
	start, end := at(facts.TypeIndex(t)), at(facts.TypeIndex(t)+1)
	return list[start:end:end]
}
