package discover

import "slices"

// Change is a namespace that two results have in common, but not all that is known of it.
type Change struct{ Old, New *Namespace }

// Differences are what Diff finds, each sorted as namespaces are.
type Differences struct {
	Created []*Namespace // only in the new result
	Gone    []*Namespace // only in the old one
	Changed []Change     // in both, with other processes, leaders, tasks, references, owner, owner UID or parent
}

// Diff compares two results of the same machine since it was started. Where the kernel gives 64-bit IDs, a namespace that
// got the inode number of another is told from it: the one is gone and the other created.
func Diff(before, after *Result) Differences {
	var d Differences
	for _, n := range before.Namespaces {
		if sameIn(after, n) == nil {
			d.Gone = append(d.Gone, n)
		}
	}
	for _, n := range after.Namespaces {
		was := sameIn(before, n)
		switch {
		case was == nil:
			d.Created = append(d.Created, n)
		case changed(was, n):
			d.Changed = append(d.Changed, Change{was, n})
		}
	}
	return d
}

// sameIn returns the namespace n in another result, nil if it is not in there.
func sameIn(r *Result, n *Namespace) *Namespace {
	other := r.Namespace(n.ID)
	if other == nil || other.Type != n.Type || other.Serial != n.Serial && other.Serial != 0 && n.Serial != 0 {
		return nil
	}
	return other
}

func changed(a, b *Namespace) bool {
	return a.Owner.String() != b.Owner.String() || a.Parent.String() != b.Parent.String() ||
		a.OwnerUID != b.OwnerUID || a.Tasks != b.Tasks ||
		!slices.EqualFunc(a.Processes, b.Processes, sameProcess) ||
		!slices.EqualFunc(a.Leaders, b.Leaders, sameProcess) ||
		!slices.EqualFunc(a.StrayTasks, b.StrayTasks, sameTask) ||
		!slices.EqualFunc(a.References, b.References, sameReference)
}

func sameProcess(a, b *Process) bool { return a.PID == b.PID && a.Start == b.Start }

func sameTask(a, b *Task) bool { return a.TID == b.TID && a.Start == b.Start }

// sameReference leaves aside which process sees a pin: it stays the same when that one ends.
func sameReference(a, b Reference) bool {
	inSame := a.MountNamespace.String() == b.MountNamespace.String()
	a.MountNamespace, b.MountNamespace = nil, nil
	if a.Kind == ByPin {
		a.PID = b.PID
	}
	return inSame && a == b
}
