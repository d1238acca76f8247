package discover

import (
	"iter"
	"slices"

	"github.com/nsops/nsops/internal/facts"
)

// relate fills in what follows from the rows: processes, leaders and children of namespaces, and what they own.
func (l *linker) relate() {
	l.relateProcesses()
	l.relateNamespaces()
	l.fillNamespaces()
	l.findLeaders()
	l.followLeaders()
	l.relateContainers()
	l.countTasks()
}

// distribute appends to n lists what pairs yields for them: all in one array.
func distribute[T any](n int, pairs iter.Seq2[int, *T], list func(i int) *[]*T) {
	sizes := make([]int32, n)
	total := 0
	for i := range pairs {
		sizes[i]++
		total++
	}
	if total == 0 {
		return
	}
	room := make([]*T, total)
	for i, one := range pairs {
		to := list(i)
		if size := sizes[i]; *to == nil {
			*to, room = room[:0:size], room[size:]
		}
		*to = append(*to, one)
	}
}

// pairs yields what is referred to, by index, with each of all that has such a reference.
func pairs[T any](all []T, ref func(i int) facts.Ref) iter.Seq2[int, *T] {
	return func(yield func(int, *T) bool) {
		for i := range all {
			if to := ref(i); to != 0 && !yield(int(to-1), &all[i]) {
				return
			}
		}
	}
}

func (l *linker) relateProcesses() {
	children := pairs(l.processes, func(i int) facts.Ref { return facts.Ref(l.facts.Parent(i) + 1) })
	for parent, p := range children {
		p.Parent = &l.processes[parent]
	}
	distribute(len(l.processes), children, func(i int) *[]*Process { return &l.processes[i].Children })
}

func (l *linker) relateNamespaces() {
	children := pairs(l.namespaces, func(i int) facts.Ref { return l.facts.Namespaces[i].Parent })
	owned := pairs(l.namespaces, func(i int) facts.Ref { return l.facts.Namespaces[i].Owner })
	distribute(len(l.namespaces), children, func(i int) *[]*Namespace { return &l.namespaces[i].Children })
	distribute(len(l.namespaces), owned, func(i int) *[]*Namespace { return &l.namespaces[i].Owned })
}

// fillNamespaces puts each process into its namespaces, and each thread into those that its process is not in.
func (l *linker) fillNamespaces() {
	processes := func(yield func(int, *Process) bool) {
		for i := range l.processes {
			for _, ref := range l.facts.Processes[i].Namespaces.In() {
				if ref != 0 && !yield(int(ref-1), &l.processes[i]) {
					return
				}
			}
		}
	}
	distribute(len(l.namespaces), processes, func(i int) *[]*Process { return &l.namespaces[i].Processes })
	for i := range l.processes {
		for _, t := range l.processes[i].Tasks {
			for at, n := range t.Namespaces {
				if n != nil && n != t.Process.Namespaces[at] {
					n.StrayTasks = append(n.StrayTasks, t)
				}
			}
		}
	}
	for i := range l.namespaces {
		slices.SortStableFunc(l.namespaces[i].StrayTasks, compareTasks)
	}
}

// findLeaders finds the leaders: processes whose parents are in another namespace.
func (l *linker) findLeaders() {
	for i := range l.namespaces {
		n := &l.namespaces[i]
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

// followLeaders has a process with no cgroup read be in the container of the leader of its PID or mount namespace.
func (l *linker) followLeaders() {
	for i := range l.processes {
		p := &l.processes[i]
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

// countTasks counts threads. Those of a process that are not known are where it is.
func (l *linker) countTasks() {
	for i := range l.processes {
		p := &l.processes[i]
		for at, n := range p.Namespaces {
			if n == nil {
				continue
			}
			n.Tasks += max(1, p.Threads-len(p.Tasks))
			for _, t := range p.Tasks {
				if in := t.Namespaces[at]; in != nil {
					in.Tasks++
				}
			}
		}
	}
}
