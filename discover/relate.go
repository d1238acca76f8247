package discover

import (
	"cmp"
	"slices"

	"github.com/nsops/nsops/internal/facts"
)

// relate fills in what follows from the rest of a result: which processes are in a namespace, which of them lead, what
// its children and possessions are.
func (r *Result) relate() {
	r.relateProcesses()
	r.relateNamespaces()
	r.fillNamespaces()
	r.findLeaders()
	r.followLeaders()
	r.countTasks()
	for _, n := range r.Namespaces {
		slices.SortFunc(n.References, func(a, b Reference) int { return compareReferences(&a, &b) })
	}
	slices.SortFunc(r.Problems, compareProblems)
	slices.SortFunc(r.Mounts, func(a, b *MountTable) int { return compareNamespaces(a.Namespace, b.Namespace) })
}

func (r *Result) relateProcesses() {
	for _, p := range r.Processes {
		if p.PPID == 0 {
			continue
		}
		// Another process may have got the parent's PID meanwhile.
		if parent := r.Process(p.PPID); parent != nil && parent.Start <= p.Start {
			p.Parent = parent
		}
	}
	gather(r.Processes, func(p *Process) *Process { return p.Parent }, func(p *Process) *[]*Process { return &p.Children })
}

func (r *Result) relateNamespaces() {
	gather(r.Namespaces, func(n *Namespace) *Namespace { return n.Parent }, func(n *Namespace) *[]*Namespace { return &n.Children })
	gather(r.Namespaces, func(n *Namespace) *Namespace { return n.Owner }, func(n *Namespace) *[]*Namespace { return &n.Owned })
}

// gather appends each of all to a list of the one above it, in one array.
func gather[T any](all []*T, above func(*T) *T, list func(*T) *[]*T) {
	sizes := make(map[*T]int)
	total := 0
	for _, one := range all {
		if up := above(one); up != nil {
			sizes[up]++
			total++
		}
	}
	room := make([]*T, total)
	for _, one := range all {
		if up := above(one); up != nil {
			to := list(up)
			if size := sizes[up]; *to == nil {
				*to, room = room[:0:size], room[size:]
			}
			*to = append(*to, one)
		}
	}
}

// fillNamespaces puts each process into its namespaces, in one array.
func (r *Result) fillNamespaces() {
	sizes := make(map[*Namespace]int, len(r.Namespaces))
	total := 0
	for _, p := range r.Processes {
		for _, n := range p.Namespaces {
			if n != nil {
				sizes[n]++
				total++
			}
		}
	}
	room := make([]*Process, total)
	for _, n := range r.Namespaces {
		size := sizes[n]
		n.Processes, room = room[:0:size], room[size:]
	}
	for _, p := range r.Processes {
		for _, n := range p.Namespaces {
			if n != nil {
				n.Processes = append(n.Processes, p)
			}
		}
	}
}

// findLeaders finds the leaders: processes whose parents are in another namespace.
func (r *Result) findLeaders() {
	for _, n := range r.Namespaces {
		at := facts.TypeIndex(n.Type)
		leads := func(p *Process) bool { return p.Parent == nil || p.Parent.Namespaces[at] != n }
		if len(n.Processes) == 1 && leads(n.Processes[0]) {
			n.Leaders = n.Processes
		} else {
			for _, p := range n.Processes {
				if leads(p) {
					n.Leaders = append(n.Leaders, p)
				}
			}
			slices.SortFunc(n.Leaders, compareSeniority)
		}
		if len(n.Leaders) > 0 {
			n.Leader = n.Leaders[0]
		}
	}
}

// followLeaders has a process whose cgroup was not looked at be in the container of the leader of its PID namespace, or
// else of its mount namespace.
func (r *Result) followLeaders() {
	for _, p := range r.Processes {
		if p.Cgroup != "" || p.Container != nil || p.Frozen {
			continue
		}
		for _, i := range [...]int{facts.PID, facts.Mnt} {
			if n := p.Namespaces[i]; n != nil && !n.Initial && n.Leader != nil {
				p.Container, p.Frozen = n.Leader.Container, n.Leader.Frozen
				break
			}
		}
	}
}

// countTasks counts threads, and finds those that are not where their process is.
func (r *Result) countTasks() {
	for _, p := range r.Processes {
		for i, n := range p.Namespaces {
			if n == nil {
				continue
			}
			n.Tasks += max(1, p.Threads-len(p.Tasks))
			for _, t := range p.Tasks {
				if in := t.Namespaces[i]; in != nil {
					in.Tasks++
				}
			}
		}
		for _, t := range p.Tasks {
			for i, n := range t.Namespaces {
				if n != nil && n != p.Namespaces[i] {
					n.StrayTasks = append(n.StrayTasks, t)
				}
			}
		}
	}
	for _, n := range r.Namespaces {
		slices.SortFunc(n.StrayTasks, func(a, b *Task) int {
			return cmp.Or(cmp.Compare(a.Process.PID, b.Process.PID), cmp.Compare(a.TID, b.TID))
		})
	}
}
