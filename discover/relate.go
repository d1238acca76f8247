package discover

import (
	"cmp"
	"slices"
)

// relate fills in what follows from the rest of a result: who is in which namespace, who leads there, whose children
// and possessions there are. It is done once more when a result is read from JSON.
func (r *Result) relate() {
	SortNamespaces(r.Namespaces)
	r.relateProcesses()
	r.relateNamespaces()
	r.settle()
	r.lead()
	r.count()
	for _, n := range r.Namespaces {
		slices.SortFunc(n.References, func(a, b Reference) int { return compareReferences(&a, &b) })
	}
	slices.SortFunc(r.Problems, compareProblems)
	slices.SortFunc(r.Mounts, func(a, b *MountTable) int { return compareNamespaces(a.Namespace, b.Namespace) })
}

func (r *Result) relateProcesses() {
	for _, p := range r.Processes {
		for _, t := range p.Tasks {
			t.Process = p
		}
		if p.PPID == 0 {
			continue
		}
		// Another process may have got the parent's PID meanwhile.
		if parent := r.Process(p.PPID); parent != nil && parent.Start <= p.Start {
			p.Parent, parent.Children = parent, append(parent.Children, p)
		}
	}
}

func (r *Result) relateNamespaces() {
	for _, n := range r.Namespaces {
		if n.Parent != nil {
			n.Parent.Children = append(n.Parent.Children, n)
		}
		if n.Owner != nil {
			n.Owner.Owned = append(n.Owner.Owned, n)
		}
	}
}

// settle puts each process into its namespaces, in one array.
func (r *Result) settle() {
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

// lead finds the leaders: processes whose parents are in another namespace.
func (r *Result) lead() {
	for _, n := range r.Namespaces {
		at := slot(n.Type)
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

// count counts threads, and finds those that are not where their process is.
func (r *Result) count() {
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
