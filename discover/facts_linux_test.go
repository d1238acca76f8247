package discover_test

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/species"
)

// ways are the processes and namespaces that lead to a fact of a result: a Problem with one of them may be why it is
// missing.
type ways struct {
	pids       map[int]bool
	sources    discover.Sources // what of the processes leads to it
	namespaces map[species.NamespaceID]bool
	unheld     bool                // one is a mount namespace that only the kernel shows
	pin, in    *discover.Namespace // of a pin
}

func waysTo(sources discover.Sources, pids ...int) *ways {
	w := &ways{pids: map[int]bool{}, sources: discover.Processes | sources, namespaces: map[species.NamespaceID]bool{}}
	for _, pid := range pids {
		w.pids[pid] = true
	}
	return w
}

// add adds those to a namespace: what holds it, and those of which it is the owner or parent.
func (w *ways) add(n *discover.Namespace, ours func(discover.Reference) bool) *ways {
	if n == nil || n.Initial || w.namespaces[n.ID] {
		return w
	}
	w.namespaces[n.ID] = true
	held := false
	for holder := range n.Holders() {
		if !ours(holder) { // but another program that looks
			continue
		}
		held = true
		w.pids[holder.PID] = true
		w.sources |= leading[holder.Kind]
		w.add(holder.MountNamespace, ours)
	}
	w.unheld = w.unheld || !held && n.Type == species.CLONE_NEWNS
	for _, below := range slices.Concat(n.Owned, n.Children) {
		w.add(below, ours)
	}
	return w
}

// explain reports whether a result says that for a lack of descriptors or memory the fact is missing.
func (w *ways) explain(r *discover.Result) bool {
	return slices.ContainsFunc(r.Problems, func(p discover.Problem) bool {
		switch {
		case !exhausted(p):
			return false
		case w.pin != nil && r.Namespace(w.in.ID) != nil && !w.unheld: // it has been looked into
			return p.Namespace == w.pin.ID || p.Namespace == w.in.ID || p.PID != 0 && w.pids[p.PID] && p.Source == discover.Mounts
		case p.PID != 0:
			return w.pids[p.PID] && w.sources.Has(p.Source)
		case p.Namespace.Ino != 0:
			return w.namespaces[p.Namespace]
		}
		return p.Source == discover.AllMountNamespaces && w.unheld || p.Source == discover.Details && w.sources.Has(discover.Details)
	})
}

func exhausted(p discover.Problem) bool {
	return p.Errno == unix.EMFILE || p.Errno == unix.ENFILE || p.Errno == unix.ENOMEM
}

// facts are those about a process, those below it, the namespaces that these hold and some more, and the ways to each.
type facts struct {
	all   map[string]*ways
	world map[*discover.Namespace]bool
}

func factsOf(r *discover.Result, pid int, also []species.NamespaceID) *facts {
	f := &facts{map[string]*ways{}, map[*discover.Namespace]bool{}}
	for _, id := range also {
		f.namespace(r.Namespace(id))
	}
	if p := r.Process(pid); p != nil {
		f.process(p)
	}
	for _, n := range r.Namespaces {
		if slices.ContainsFunc(n.References, f.ours) {
			f.namespace(n)
		}
	}
	for n := range f.world {
		f.held(n)
	}
	for _, m := range r.Mounts {
		if f.world[m.Namespace] {
			f.add(waysTo(discover.Full).add(m.Namespace, f.ours), "%v has %d mounts", m.Namespace, len(m.Mounts))
		}
	}
	return f
}

func (f *facts) namespaces() (ids []species.NamespaceID) {
	for n := range f.world {
		ids = append(ids, n.ID)
	}
	return ids
}

func (f *facts) ours(ref discover.Reference) bool {
	if ref.MountNamespace != nil {
		return f.world[ref.MountNamespace]
	}
	return f.all[fmt.Sprint("process ", ref.PID)] != nil
}

func (f *facts) add(w *ways, format string, args ...any) { f.all[fmt.Sprintf(format, args...)] = w }

func (f *facts) process(p *discover.Process) {
	itself := waysTo(discover.None, p.PID)
	f.add(itself, "process %d", p.PID)
	f.add(itself, "process %d is of %d, %d, has parent %d, PIDs %v", p.PID, p.UID, p.GID, p.PPID, p.PIDs)
	f.add(waysTo(discover.Details, p.PID), "process %d is %q", p.PID, p.Cmdline)
	f.add(waysTo(discover.Cgroups, p.PID), "process %d is in %s, frozen %t", p.PID, p.Cgroup, p.Frozen)
	f.add(waysTo(discover.Cgroups, p.PID), "process %d is in container %v", p.PID, p.Container)
	for _, n := range append(p.Namespaces[:], p.PIDForChildren, p.TimeForChildren) {
		f.namespace(n)
		f.add(itself, "process %d has %v", p.PID, n)
	}
	for _, task := range p.Tasks {
		if task.Stray() {
			f.add(waysTo(discover.Tasks, p.PID), "task %d of %d has %v, for children %v, %v", task.TID, p.PID, task.Namespaces, task.PIDForChildren, task.TimeForChildren)
		}
	}
	for _, child := range p.Children {
		f.process(child)
	}
}

func (f *facts) namespace(n *discover.Namespace) {
	if n == nil || n.Initial || f.world[n] {
		return
	}
	f.world[n] = true
	f.namespace(n.Owner)
	f.namespace(n.Parent)
}

func (f *facts) held(n *discover.Namespace) {
	owner := waysTo(discover.None).add(n, f.ours)
	if len(n.References) == 1 && n.References[0].Kind == discover.ByPin && len(n.Processes) == 0 {
		owner.pin, owner.in = n, n.References[0].MountNamespace
	}
	f.add(owner, "%v has owner %v of %d, parent %v", n, n.Owner, n.OwnerUID, n.Parent)
	for _, ref := range n.References {
		if !f.ours(ref) { // but of another program that looks
			continue
		}
		w := waysTo(leading[ref.Kind], ref.PID)
		if ref.MountNamespace != nil {
			w.add(ref.MountNamespace, f.ours)
			w.pin, w.in, w.sources = n, ref.MountNamespace, discover.Full
			ref.PID = 0 // any that sees it
		}
		if ref.TID != 0 {
			w.sources |= discover.Tasks
		}
		f.add(w, "%v is held by %v", n, ref)
	}
}

// leading are those that lead to a holder of a kind.
var leading = map[discover.HolderKind]discover.Sources{
	discover.ByTask:      discover.Tasks,
	discover.ForChildren: discover.Tasks,
	discover.ByPin:       discover.Mounts,
	discover.ByFD:        discover.FDs | discover.Tasks,
	discover.BySocket:    discover.FDs | discover.Sockets,
	discover.ByMessage:   discover.FDs | discover.Sockets | discover.InFlight,
	discover.ByTun:       discover.FDs | discover.TunTap,
}
