package discover

import (
	"cmp"
	"slices"

	"github.com/nsops/nsops/species"
)

// PIDMap translates PIDs and TIDs between PID namespaces. It is safe for concurrent use.
type PIDMap struct {
	from map[namespacedPID][]NamespacedPID
}

// NamespacedPID is a PID, or the TID of a thread, in a PID namespace.
type NamespacedPID struct {
	PID       int
	Namespace *Namespace
}

type namespacedPID struct {
	pid int
	in  *Namespace
}

// NewPIDMap returns a map of all PIDs and TIDs in a result. Those that were found with a type mask that lacks PID
// namespaces cannot be translated, nor can those in PID namespaces above the topmost that the caller may know: with a proc
// file system of such a one, they are only in Process.PIDs.
func NewPIDMap(r *Result) *PIDMap {
	m := &PIDMap{from: make(map[namespacedPID][]NamespacedPID, len(r.Processes))}
	for _, p := range r.Processes {
		m.add(p.PIDs, p.Namespaces.Of(species.CLONE_NEWPID))
		for _, t := range p.Tasks {
			m.add(t.TIDs, t.Namespaces.Of(species.CLONE_NEWPID))
		}
	}
	return m
}

// add adds a process that has these PIDs, the last of them in the innermost namespace. Those in parents that the caller
// may not know are left out.
func (m *PIDMap) add(pids []int, innermost *Namespace) {
	all := make([]NamespacedPID, len(pids))
	first := len(pids)
	for n := innermost; n != nil && first > 0; n = n.Parent {
		first--
		all[first] = NamespacedPID{pids[first], n}
	}
	all = all[first:]
	for _, p := range all {
		m.from[namespacedPID{p.PID, p.Namespace}] = all
	}
}

// Translate returns the PID, in the PID namespace to, of the process or thread that has pid in the PID namespace from.
// It is 0 if there is none, or if it is not visible in there.
func (m *PIDMap) Translate(pid int, from, to *Namespace) int {
	for _, p := range m.from[namespacedPID{pid, from}] {
		if p.Namespace == to {
			return p.PID
		}
	}
	return 0
}

// NamespacedPIDs returns all PIDs of the process or thread that has pid in the PID namespace from: that in the outermost
// namespace first. It is empty if there is none.
func (m *PIDMap) NamespacedPIDs(pid int, from *Namespace) []NamespacedPID {
	return slices.Clone(m.from[namespacedPID{pid, from}])
}

// PIDs returns the PIDs and TIDs that are visible in a PID namespace, in ascending order.
func (m *PIDMap) PIDs(in *Namespace) []int {
	var pids []int
	for key := range m.from {
		if key.in == in {
			pids = append(pids, key.pid)
		}
	}
	slices.SortFunc(pids, cmp.Compare)
	return pids
}
