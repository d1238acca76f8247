package discover

import (
	"slices"

	"github.com/nsops/nsops/species"
)

// PIDMap translates PIDs and TIDs between PID namespaces. It is safe for concurrent use.
type PIDMap struct {
	from map[NamespacedPID][]NamespacedPID
}

// NamespacedPID is a PID, or the TID of a thread, in a PID namespace.
type NamespacedPID struct {
	PID       int
	Namespace *Namespace
}

// NewPIDMap returns a map of all PIDs and TIDs in a result. Those that were found with a type mask that lacks PID
// namespaces cannot be translated, nor can those in PID namespaces above the topmost that the caller may know: with a proc
// file system of such a one, they are only in Process.PIDs.
func NewPIDMap(r *Result) *PIDMap {
	m := &PIDMap{from: make(map[NamespacedPID][]NamespacedPID, len(r.Processes))}
	for _, p := range r.Processes {
		m.add(p.PIDs, p.Namespaces.Of(species.CLONE_NEWPID))
		for _, t := range p.Tasks {
			m.add(t.TIDs, t.Namespaces.Of(species.CLONE_NEWPID))
		}
	}
	return m
}

// add adds a process with these PIDs, the innermost last. Those in parents that the caller may not know are left out.
func (m *PIDMap) add(pids []int, innermost *Namespace) {
	all := make([]NamespacedPID, len(pids))
	first := len(pids)
	for n := innermost; n != nil && first > 0; n = n.Parent {
		first--
		all[first] = NamespacedPID{pids[first], n}
	}
	all = all[first:]
	for _, p := range all {
		m.from[p] = all
	}
}

// Translate returns the PID, in the PID namespace to, of the process or thread that has pid in the PID namespace from.
// It is 0 if there is none, or if it is not visible in there.
func (m *PIDMap) Translate(pid int, from, to *Namespace) int {
	for _, p := range m.from[NamespacedPID{pid, from}] {
		if p.Namespace == to {
			return p.PID
		}
	}
	return 0
}

// NamespacedPIDs returns all PIDs of the process or thread that has pid in the PID namespace from: that in the outermost
// namespace first. It is empty if there is none.
func (m *PIDMap) NamespacedPIDs(pid int, from *Namespace) []NamespacedPID {
	return slices.Clone(m.from[NamespacedPID{pid, from}])
}

// PIDs returns the PIDs and TIDs that are visible in a PID namespace, in ascending order.
func (m *PIDMap) PIDs(in *Namespace) []int {
	var pids []int
	for key := range m.from {
		if key.Namespace == in {
			pids = append(pids, key.PID)
		}
	}
	slices.Sort(pids)
	return pids
}
