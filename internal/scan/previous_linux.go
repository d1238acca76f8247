package scan

import (
	"slices"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// previous is the last result, in the order in which a discovery needs it that takes something over from it; nil for none.
type previous struct {
	facts   *facts.Facts
	whole   bool                            // it has all types, and so all that leads somewhere
	serials map[uint64]*facts.Namespace     // by 64-bit ID
	fds     map[int][]int                   // of processes that held a namespace by descriptor
	pins    map[facts.Ref][]pinned          // by mount namespace
	tables  map[facts.Ref]*facts.MountTable // by mount namespace
}

type pinned struct {
	to   *facts.Namespace
	path string
	pid  int // a process that sees the path
}

// recall prepares facts for a discovery that follows; nil for nil.
func recall(old *facts.Facts) *previous {
	if old == nil {
		return nil
	}
	p := &previous{facts: old, whole: old.Types == species.Set(species.AllNS), serials: make(map[uint64]*facts.Namespace, len(old.Namespaces)),
		fds: map[int][]int{}, pins: map[facts.Ref][]pinned{}, tables: map[facts.Ref]*facts.MountTable{}}
	for i := range old.Namespaces {
		n := &old.Namespaces[i]
		if old.Live && p.whole && n.Serial != 0 {
			p.serials[n.Serial] = n
		}
		for _, r := range n.References {
			switch r.Kind {
			case facts.ByFD, facts.BySocket, facts.ByTun, facts.ByMessage:
				if pid, fd := int(r.PID), int(r.FD); r.TID == 0 && !slices.Contains(p.fds[pid], fd) {
					p.fds[pid] = append(p.fds[pid], fd)
				}
			case facts.ByPin:
				p.pins[r.MountNamespace] = append(p.pins[r.MountNamespace], pinned{n, string(r.Path), int(r.PID)})
			}
		}
	}
	for i := range old.Mounts {
		p.tables[old.Mounts[i].Namespace] = &old.Mounts[i]
	}
	return p
}

// process returns a process of the last result, if that is the same one and runs the same program.
func (p *previous) process(pid int, start uint64, name []byte) *facts.Process {
	if p == nil {
		return nil
	}
	if at := p.facts.Process(pid); at >= 0 {
		if old := &p.facts.Processes[at]; old.Start == start && string(old.Name) == string(name) {
			return old
		}
	}
	return nil
}

// remembered returns a namespace of the last result, of which nothing can have changed but what holds it. Nil stays nil.
func (t *table) remembered(f *facts.Facts, old *facts.Namespace) *entry {
	t.lock()
	defer t.unlock()
	return t.rememberedLocked(f, old)
}

func (t *table) rememberedLocked(f *facts.Facts, old *facts.Namespace) *entry {
	if old == nil {
		return nil
	}
	n := present(t.bySerial[old.Serial])
	if old.Serial == 0 { // before Linux 6.18, where all are held; of a mount namespace the owner has none
		n = t.withNumber(old.Inode)
	}
	if n != nil && n.kind == old.Type && n.state == known {
		return n
	}
	n = t.see(entry{inode: old.Inode, serial: old.Serial, kind: old.Type, fd: raw.NoFD, state: known,
		ownerUID: old.OwnerUID, ownerHidden: old.OwnerHidden, parentHidden: old.ParentHidden})
	n.owner = t.rememberedLocked(f, f.Namespace(old.Owner))
	n.parent = t.rememberedLocked(f, f.Namespace(old.Parent))
	return n
}

// keepsFDs reports whether a process has as many descriptors as then, and the sockets that were of its own network
// namespace still are. What waits in a socket and which device a descriptor has are not seen from the number.
func (w *worker) keepsFDs(old *facts.Process, count uint64, in *facts.Links) bool {
	p := w.scan.old
	if old == nil || old.FDs != count || !p.whole || w.scan.opts.Sources&(facts.TunTap|facts.InFlight) != 0 {
		return false
	}
	was, is := p.facts.Namespace(old.Namespaces[facts.Net]), w.scan.table.at(in[facts.Net])
	return was != nil && is != nil && was.Inode == is.inode && was.Serial == is.serial
}

// keepsMounts takes over the pins of a mount namespace that has the same mounts as then.
func (w *worker) keepsMounts(n *entry, i int) bool {
	p := w.scan.old
	if p == nil || !p.whole || n.serial == 0 {
		return false
	}
	ids, errno := raw.ListMounts(n.serial, w.ids[:0])
	w.ids = ids
	if errno != 0 {
		return false
	}
	ref := p.facts.Find(n.kind, n.inode)
	was := p.facts.Namespace(ref)
	kept := p.facts.MountIDs[n.serial]
	same := was != nil && was.Serial == n.serial && slices.Equal(kept, ids)
	if !same {
		kept = slices.Clone(ids)
	}
	w.scan.mounts.mu.Lock()
	w.scan.mounts.ids[n.serial] = kept
	w.scan.mounts.mu.Unlock()
	pins, member := p.pins[ref], w.scan.table.member(n, 0)
	if !same || slices.ContainsFunc(pins, func(p pinned) bool { return p.pid != 0 && p.pid != member }) {
		return false // others may have another root
	}
	for _, pin := range pins {
		if p.serials[pin.to.Serial] == pin.to {
			w.referPin(w.scan.table.remembered(p.facts, pin.to), n, pin.pid, pin.path)
		} else {
			w.pin(n, pin.pid, pin.to.Type, pin.to.Inode, []byte(pin.path))
		}
	}
	if t := p.tables[ref]; t != nil {
		w.scan.mounts.tables[i] = facts.MountTable{Namespace: n.ref, Mounts: t.Mounts}
	}
	return true
}
