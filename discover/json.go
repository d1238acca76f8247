package discover

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/nsops/nsops/internal/facts"
)

// MarshalJSON returns all of the result as JSON, of its Options the types, the sources and the proc file system:
// docs/discovery.schema.json describes it. Texts that are not valid UTF-8 survive.
func (r *Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct { // what follows from the facts is written, and not read
		*facts.Facts
		UserRoots []uint64            `json:"userRoots"`
		PIDRoots  []uint64            `json:"pidRoots"`
		PIDMap    map[string][][2]int `json:"pidMap"`
	}{r.flatten(), inodes(r.UserRoots()), inodes(r.PIDRoots()), pidPairs(r)})
}

// UnmarshalJSON makes the result what MarshalJSON wrote. An *Error if that does not fit together, or would take far more
// memory than it should: a Result takes up to thirty times as much as its JSON, or 100 MB.
func (r *Result) UnmarshalJSON(text []byte) error {
	f, err := facts.Read(text)
	if err != nil {
		return &Error{Op: "read result", Err: err}
	}
	read := link(f, Options{Types: f.Types, Sources: Sources(f.Sources), Proc: string(f.Proc)})
	if read.hasCircle() {
		return &Error{Op: "read result", Err: errors.New("a namespace, process or mount is above itself")}
	}
	*r = *read
	return nil
}

// hasCircle reports whether following parents or owners would never end.
func (r *Result) hasCircle() bool {
	return circle(r.Namespaces, func(n *Namespace) *Namespace { return n.Parent }) ||
		circle(r.Namespaces, func(n *Namespace) *Namespace { return n.Owner }) ||
		circle(r.Processes, func(p *Process) *Process { return p.Parent }) ||
		slices.ContainsFunc(r.Mounts, func(t *MountTable) bool {
			return circle(t.Mounts, func(m *Mount) *Mount { return m.Parent })
		})
}

// circle reports whether the way up from one of them comes back to it.
func circle[T any](list []*T, above func(*T) *T) bool {
	from := make(map[*T]int, len(list)) // whose way up was the first to lead there
	for i, one := range list {
		for ; one != nil; one = above(one) {
			first, seen := from[one]
			if seen && first == i {
				return true
			}
			if seen {
				break
			}
			from[one] = i
		}
	}
	return false
}

func inodes(list []*Namespace) []uint64 {
	return convert(list, func(n *Namespace) uint64 { return n.ID.Ino })
}

// pidPairs returns for each PID namespace but the outermost pairs of a PID in there and that in Process.PID.
func pidPairs(r *Result) map[string][][2]int {
	pids := map[string][][2]int{}
	for _, p := range r.Processes {
		n := p.Namespaces[facts.PID]
		for i := len(p.PIDs) - 1; i > 0 && n != nil; i-- {
			pids[n.String()] = append(pids[n.String()], [2]int{p.PIDs[i], p.PID})
			n = n.Parent
		}
	}
	for _, pairs := range pids {
		slices.SortFunc(pairs, func(a, b [2]int) int { return a[0] - b[0] })
	}
	return pids
}
