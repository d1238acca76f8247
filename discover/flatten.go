package discover

import (
	"slices"

	"github.com/nsops/nsops/internal/facts"
)

// flatten makes facts of a result, which may have been changed since it was made. Namespaces are referred to by their inode
// numbers, as in JSON.
func (r *Result) flatten() *facts.Facts {
	f := &facts.Facts{
		Version: facts.Version, Device: r.Device, Types: r.Options.Types, Sources: facts.Sources(r.Options.Sources),
		Proc:       facts.Text(r.Options.Proc),
		Namespaces: make([]facts.Namespace, 0, len(r.Namespaces)), Processes: make([]facts.Process, 0, len(r.Processes)),
		Containers: make([]facts.Container, 0, len(r.Containers)), Problems: make([]facts.Problem, 0, len(r.Problems)),
	}
	for _, n := range r.Namespaces {
		f.Namespaces = append(f.Namespaces, n.row())
	}
	for _, p := range r.Processes {
		f.Processes = append(f.Processes, p.row())
		f.Processes[len(f.Processes)-1].Container = facts.Place(slices.Index(r.Containers, p.Container) + 1)
	}
	for _, c := range r.Containers {
		f.Containers = append(f.Containers, facts.Container{ID: facts.Text(c.ID), Runtime: c.Runtime, Name: facts.Text(c.Name),
			Pod: facts.Text(c.Pod), PodName: facts.Text(c.PodName), Cgroup: facts.Text(c.Cgroup)})
	}
	for _, t := range r.Mounts {
		f.Mounts = append(f.Mounts, t.rows())
	}
	for _, p := range r.Problems {
		f.Problems = append(f.Problems, facts.Problem{Source: facts.Sources(p.Source), PID: p.PID, TID: p.TID, FD: p.FD, Type: p.Type,
			Namespace: p.Namespace.Ino, Path: facts.Text(p.Path), Errno: p.Errno, Text: p.Errno.Error()})
	}
	return f
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
	rows := facts.MountTable{Namespace: inode(t.Namespace), Mounts: make([]facts.Mount, 0, len(t.Mounts))}
	for _, m := range t.Mounts {
		rows.Mounts = append(rows.Mounts, facts.Mount{ID: m.ID, Parent: m.ParentID, Serial: m.Serial, Dev: m.Dev, Root: facts.Text(m.Root),
			Point: facts.Text(m.Point), Options: facts.Text(m.Options), Type: facts.Text(m.Type), Source: facts.Text(m.Source),
			SuperOptions: facts.Text(m.SuperOptions), Propagation: m.Propagation, Hidden: m.Hidden})
	}
	return rows
}
