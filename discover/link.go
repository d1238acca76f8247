package discover

import (
	"slices"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/species"
)

// link makes a result of facts. The rows of each kind become one array, in the same order.
func link(f *facts.Facts, opts Options) *Result {
	l := linker{
		facts:      f,
		namespaces: make([]Namespace, len(f.Namespaces)),
		processes:  make([]Process, len(f.Processes)),
		containers: make([]Container, len(f.Containers)),
		byPath:     map[string]*MountPath{},
	}
	for i := range l.namespaces {
		l.namespace(&l.namespaces[i], &f.Namespaces[i])
	}
	for i, c := range f.Containers {
		l.containers[i] = Container{ID: string(c.ID), Runtime: c.Runtime, Name: string(c.Name), Pod: string(c.Pod),
			PodName: string(c.PodName), Cgroup: string(c.Cgroup)}
	}
	l.fillProcesses()
	l.relate()
	r := &Result{
		Options:    opts,
		Device:     f.Device,
		Namespaces: pointers(l.namespaces),
		Processes:  pointers(l.processes),
		Containers: pointers(l.containers),
		facts:      f,
	}
	for i := range f.Mounts {
		r.Mounts = append(r.Mounts, l.mounts(&f.Mounts[i]))
	}
	slices.SortFunc(r.Mounts, func(a, b *MountTable) int { return compareNamespaces(a.Namespace, b.Namespace) })
	for i := range f.Problems {
		r.Problems = append(r.Problems, l.problem(&f.Problems[i]))
	}
	slices.SortFunc(r.Problems, compareProblems)
	return r
}

// pointers returns pointers to all in an array, nil for none.
func pointers[T any](all []T) []*T {
	if len(all) == 0 {
		return nil
	}
	list := make([]*T, len(all))
	for i := range all {
		list[i] = &all[i]
	}
	return list
}

// linker turns rows into what they are about.
type linker struct {
	facts      *facts.Facts
	namespaces []Namespace
	processes  []Process
	containers []Container
	byPath     map[string]*MountPath // room for MountTable.arrange
}

// at returns the namespace that is referred to, nil for none.
func (l *linker) at(ref facts.Ref) *Namespace {
	if ref == 0 {
		return nil
	}
	return &l.namespaces[ref-1]
}

func (l *linker) id(inode uint64) species.NamespaceID {
	if inode == 0 {
		return species.NoneID
	}
	return species.NamespaceID{Dev: l.facts.Device, Ino: inode}
}

func (l *linker) namespace(n *Namespace, row *facts.Namespace) {
	*n = Namespace{
		ID: l.id(row.Inode), Serial: row.Serial, Type: row.Type, Initial: row.Initial,
		Owner: l.at(row.Owner), OwnerHidden: row.OwnerHidden, OwnerUID: row.OwnerUID, OwnerName: string(row.OwnerName),
		Parent: l.at(row.Parent), ParentHidden: row.ParentHidden,
	}
	if len(row.References) == 0 {
		return
	}
	n.References = make([]Reference, len(row.References))
	for i, ref := range row.References {
		n.References[i] = Reference{HolderKind(ref.Kind), int(ref.PID), int(ref.TID), int(ref.FD), l.at(ref.MountNamespace), string(ref.Path)}
	}
	slices.SortFunc(n.References, func(a, b Reference) int { return compareReferences(&a, &b) })
}

func (l *linker) fillProcesses() {
	threads := 0
	for i := range l.facts.Processes {
		threads += len(l.facts.Processes[i].Tasks)
	}
	tasks := make([]Task, threads)
	all := pointers(tasks)
	for i := range l.processes {
		row, p := &l.facts.Processes[i], &l.processes[i]
		*p = Process{
			PID: row.PID, PPID: row.PPID, Name: string(row.Name), Cmdline: row.Cmdline, State: byte(row.State), Kernel: row.Kernel,
			Start: row.Start, UID: row.UID, GID: row.GID, PIDs: row.PIDs, Cgroup: string(row.Cgroup), Frozen: row.Frozen,
			Threads: row.Threads,
		}
		if row.Container != 0 {
			p.Container = &l.containers[row.Container-1]
		}
		l.links(&row.Namespaces, &p.Namespaces, &p.PIDForChildren, &p.TimeForChildren)
		n := len(row.Tasks)
		if n == 0 {
			continue
		}
		for j := range row.Tasks {
			from, t := &row.Tasks[j], &tasks[j]
			*t = Task{Process: p, TID: from.TID, Name: string(from.Name), Start: from.Start, TIDs: from.TIDs}
			l.links(&from.Namespaces, &t.Namespaces, &t.PIDForChildren, &t.TimeForChildren)
		}
		p.Tasks, all, tasks = all[:n:n], all[n:], tasks[n:]
	}
}

func (l *linker) links(from *facts.Links, in *NamespacesSet, pid, time **Namespace) {
	for i, ref := range from.In() {
		in[i] = l.at(ref)
	}
	*pid, *time = l.at(from[facts.PIDForChildren]), l.at(from[facts.TimeForChildren])
}

func (l *linker) mounts(row *facts.MountTable) *MountTable {
	all := make([]Mount, len(row.Mounts))
	for i, m := range row.Mounts {
		all[i] = Mount{ID: m.ID, ParentID: m.Parent, Serial: m.Serial, Dev: m.Dev, Root: string(m.Root),
			Point: string(m.Point), Options: string(m.Options), Type: string(m.Type), Source: string(m.Source),
			SuperOptions: string(m.SuperOptions), Propagation: m.Propagation}
	}
	t := &MountTable{Namespace: l.at(row.Namespace), Mounts: pointers(all)}
	t.arrange(l.byPath)
	return t
}

func (l *linker) problem(row *facts.Problem) Problem {
	return Problem{Sources(row.Source), row.PID, row.TID, row.FD, row.Type, l.id(row.Namespace), string(row.Path), row.Errno}
}
