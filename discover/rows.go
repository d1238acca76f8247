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
		containers: convert(f.Containers, newContainer),
		byPath:     map[string]*MountPath{},
	}
	for i := range l.namespaces {
		l.namespace(&l.namespaces[i], &f.Namespaces[i])
	}
	l.fillProcesses()
	l.relate()
	r := &Result{
		Options:    opts,
		Device:     f.Device,
		Namespaces: pointers(l.namespaces),
		Processes:  pointers(l.processes),
		Containers: pointers(l.containers),
		Mounts:     orNil(convert(f.Mounts, l.mounts)),
		Problems:   orNil(convert(f.Problems, l.problem)),
		facts:      f,
	}
	slices.SortFunc(r.Mounts, func(a, b *MountTable) int { return compareNamespaces(a.Namespace, b.Namespace) })
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

// convert returns what each of a list is converted to: an empty list, which JSON has as [], for none.
func convert[T, U any](list []T, to func(T) U) []U {
	all := make([]U, len(list))
	for i, one := range list {
		all[i] = to(one)
	}
	return all
}

// orNil returns nil for an empty list.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
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
	return species.NamespaceIDFromInode(inode).WithDev(l.facts.Device)
}

func (l *linker) namespace(n *Namespace, row *facts.Namespace) {
	*n = Namespace{
		ID: l.id(row.Inode), Serial: row.Serial, Type: row.Type, Initial: row.Initial,
		Owner: l.at(row.Owner), OwnerHidden: row.OwnerHidden, OwnerUID: row.OwnerUID, OwnerName: string(row.OwnerName),
		Parent: l.at(row.Parent), ParentHidden: row.ParentHidden,
	}
	n.References = convert(row.References, func(ref facts.Reference) Reference {
		return Reference{HolderKind(ref.Kind), int(ref.PID), int(ref.TID), int(ref.FD), l.at(ref.MountNamespace), string(ref.Path)}
	})
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

func newContainer(c facts.Container) Container {
	return Container{ID: string(c.ID), Runtime: c.Runtime, Name: string(c.Name), Pod: string(c.Pod),
		PodName: string(c.PodName), Cgroup: string(c.Cgroup)}
}

func (l *linker) mounts(row facts.MountTable) *MountTable {
	all := convert(row.Mounts, func(m facts.Mount) Mount {
		return Mount{ID: m.ID, ParentID: m.Parent, Serial: m.Serial, Dev: m.Dev, Root: string(m.Root),
			Point: string(m.Point), Options: string(m.Options), Type: string(m.Type), Source: string(m.Source),
			SuperOptions: string(m.SuperOptions), Propagation: m.Propagation}
	})
	t := &MountTable{Namespace: l.at(row.Namespace), Mounts: pointers(all)}
	t.arrange(l.byPath)
	return t
}

func (l *linker) problem(row facts.Problem) Problem {
	return Problem{Sources(row.Source), row.PID, row.TID, row.FD, row.Type, l.id(row.Namespace), string(row.Path), row.Errno}
}

// flatten makes facts of a result, which may have been changed. They refer to namespaces by inode numbers, as JSON does.
func (r *Result) flatten() *facts.Facts {
	f := &facts.Facts{
		Version: facts.Version, Device: r.Device, Types: r.Options.Types, Sources: facts.Sources(r.Options.Sources),
		Proc:       facts.Text(r.Options.Proc),
		Namespaces: convert(r.Namespaces, (*Namespace).row),
		Processes:  convert(r.Processes, (*Process).row),
		Containers: convert(r.Containers, (*Container).row),
		Mounts:     convert(r.Mounts, (*MountTable).rows),
		Problems:   convert(r.Problems, Problem.row),
	}
	for i, p := range r.Processes {
		f.Processes[i].Container = facts.Place(slices.Index(r.Containers, p.Container) + 1)
	}
	return f
}

func (c *Container) row() facts.Container {
	return facts.Container{ID: facts.Text(c.ID), Runtime: c.Runtime, Name: facts.Text(c.Name), Pod: facts.Text(c.Pod),
		PodName: facts.Text(c.PodName), Cgroup: facts.Text(c.Cgroup)}
}

func (p Problem) row() facts.Problem {
	return facts.Problem{Source: facts.Sources(p.Source), PID: p.PID, TID: p.TID, FD: p.FD, Type: p.Type,
		Namespace: p.Namespace.Ino, Path: facts.Text(p.Path), Errno: p.Errno, Text: p.Errno.Error()}
}

// inode returns what stands for a namespace, 0 for nil.
func inode(n *Namespace) facts.Ref {
	if n == nil {
		return 0
	}
	return facts.Ref(n.ID.Ino)
}

func (n *Namespace) row() facts.Namespace {
	row := facts.Namespace{
		Inode: n.ID.Ino, Serial: n.Serial, Type: n.Type, Initial: n.Initial,
		Owner: inode(n.Owner), OwnerHidden: n.OwnerHidden, OwnerUID: n.OwnerUID, OwnerName: facts.Text(n.OwnerName),
		Parent: inode(n.Parent), ParentHidden: n.ParentHidden,
		Processes: int32(len(n.Processes)), Tasks: int32(n.Tasks),
	}
	if n.Leader != nil {
		row.Leader = int32(n.Leader.PID)
	}
	for _, ref := range n.References {
		row.References = append(row.References, facts.Reference{Kind: facts.Kind(ref.Kind), PID: int32(ref.PID), TID: int32(ref.TID),
			FD: int32(ref.FD), MountNamespace: inode(ref.MountNamespace), Path: facts.Text(ref.Path)})
	}
	return row
}

func (p *Process) row() facts.Process {
	row := facts.Process{
		PID: p.PID, PPID: p.PPID, Name: facts.Text(p.Name), Cmdline: p.Cmdline, State: facts.State(p.State),
		Kernel: p.Kernel, Start: p.Start, UID: p.UID, GID: p.GID, PIDs: p.PIDs, Cgroup: facts.Text(p.Cgroup), Frozen: p.Frozen,
		Threads: p.Threads, Namespaces: links(&p.Namespaces, p.PIDForChildren, p.TimeForChildren),
	}
	for _, t := range p.Tasks {
		row.Tasks = append(row.Tasks, facts.Task{TID: t.TID, Name: facts.Text(t.Name), Start: t.Start,
			Namespaces: links(&t.Namespaces, t.PIDForChildren, t.TimeForChildren), TIDs: t.TIDs})
	}
	return row
}

func links(in *NamespacesSet, pid, time *Namespace) (l facts.Links) {
	for i, n := range in {
		l[i] = inode(n)
	}
	l[facts.PIDForChildren], l[facts.TimeForChildren] = inode(pid), inode(time)
	return l
}

func (t *MountTable) rows() facts.MountTable {
	return facts.MountTable{Namespace: inode(t.Namespace), Mounts: convert(t.Mounts, func(m *Mount) facts.Mount {
		return facts.Mount{ID: m.ID, Parent: m.ParentID, Serial: m.Serial, Dev: m.Dev, Root: facts.Text(m.Root),
			Point: facts.Text(m.Point), Options: facts.Text(m.Options), Type: facts.Text(m.Type), Source: facts.Text(m.Source),
			SuperOptions: facts.Text(m.SuperOptions), Propagation: m.Propagation, Hidden: m.Hidden}
	})}
}
