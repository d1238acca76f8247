package discover

import (
	"context"
	"slices"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// Rescan discovers again with the options of a result, and takes from it what can hardly have changed: the command line
// of a process with the same start time and name, and before 6.13 its credentials; the descriptors of one that has as
// many as then and is in the same network namespace, unless TunTap or InFlight are wanted; and from the second time on
// the mounts of a mount namespace that has the same, by their 64-bit IDs (6.8). From a result of some types only, it
// takes no descriptors and mounts. Namespaces, threads and parents are looked at again.
//
// So it can miss a descriptor that was exchanged for one of a namespace, a new command line of a program that executed
// itself, and that a mount was moved, or changed in its options, or lies in a directory with another name; Discover does
// not.
//
// Errors and privileges are those of Discover. The result that it starts from is not changed, and may have come from
// JSON, which saves less, and has neither Patience nor Workers nor NoSnapshot nor Namers. From nil it is Discover with the zero Options.
func Rescan(ctx context.Context, old *Result) (*Result, error) {
	if old == nil {
		return Discover(ctx, Options{})
	}
	return discover(ctx, old.Options, old)
}

// memory is the last result, in the order in which a Rescan needs it.
type memory struct {
	result  *Result
	whole   bool                  // it has all types, and so all that leads somewhere
	serials map[uint64]*Namespace // by 64-bit ID
	lists   map[uint64][]uint64
	fds     map[int][]int              // of processes that held a namespace by descriptor
	pins    map[*Namespace][]pinned    // by mount namespace
	tables  map[*Namespace]*MountTable // by mount namespace
}

type pinned struct {
	to   *Namespace
	path string
	pid  int // a process that sees the path
}

// recall prepares a result for a Rescan; nil for nil.
func recall(old *Result) *memory {
	if old == nil {
		return nil
	}
	m := &memory{result: old, whole: old.Options.Types == species.Set(species.AllNS),
		serials: make(map[uint64]*Namespace, len(old.Namespaces)), lists: old.lists, fds: map[int][]int{},
		pins: map[*Namespace][]pinned{}, tables: map[*Namespace]*MountTable{}}
	for _, n := range old.Namespaces {
		if old.live && m.whole && n.Serial != 0 {
			m.serials[n.Serial] = n
		}
		for i := range n.References {
			switch r := &n.References[i]; r.Kind {
			case ByFD, BySocket, ByTun, ByMessage:
				if r.TID == 0 && !slices.Contains(m.fds[r.PID], r.FD) {
					m.fds[r.PID] = append(m.fds[r.PID], r.FD)
				}
			case ByPin:
				m.pins[r.MountNamespace] = append(m.pins[r.MountNamespace], pinned{n, r.Path, r.PID})
			}
		}
	}
	for _, t := range old.Mounts {
		m.tables[t.Namespace] = t
	}
	return m
}

// process returns a process of the last result, if that is the same one and runs the same program.
func (m *memory) process(pid int, start uint64, name []byte) *Process {
	if m == nil {
		return nil
	}
	p := m.result.Process(pid)
	if p == nil || p.Start != start || p.Name != string(name) {
		return nil
	}
	return p
}

// namespace returns a namespace of the last result, nil if it had none with that 64-bit ID.
func (m *memory) namespace(serial uint64) *Namespace {
	if m == nil {
		return nil
	}
	return m.serials[serial]
}

// keepsFDs says whether a process has as many descriptors as then, and the sockets that were of its own network
// namespace still are. What waits in a socket and which device a descriptor has are not seen from the number.
func (w *worker) keepsFDs(kept *Process, count uint64, in *NamespacesSet) bool {
	if kept == nil || kept.fdCount != count || !w.old.whole || w.opts.Sources&(TunTap|InFlight) != 0 {
		return false
	}
	was, is := kept.Namespaces[netSlot], in[netSlot]
	return was != nil && is != nil && was.ID == is.ID && was.Serial == is.Serial
}

// unchanged takes over the pins of a mount namespace that has the same mounts as then.
func (w *worker) unchanged(n *Namespace, i int) bool {
	if w.old == nil || !w.old.whole || n.Serial == 0 {
		return false
	}
	ids, errno := raw.ListMounts(n.Serial, w.ids[:0])
	w.ids = ids
	if errno != 0 {
		return false
	}
	was := w.old.result.Namespace(n.ID)
	same := was != nil && was.Serial == n.Serial && slices.Equal(w.old.lists[n.Serial], ids)
	if same {
		ids = w.old.lists[n.Serial]
	} else {
		ids = slices.Clone(ids)
	}
	w.mounts.listed.Lock()
	w.mounts.lists[n.Serial] = ids
	w.mounts.listed.Unlock()
	pins, member := w.old.pins[was], w.table.member(n)
	if !same || slices.ContainsFunc(pins, func(p pinned) bool { return p.pid != 0 && p.pid != member }) {
		return false // others may have another root
	}
	for _, p := range pins {
		if w.old.serials[p.to.Serial] == p.to {
			w.pins = append(w.pins, pin{w.table.takeOver(p.to), n, p.path, int32(p.pid)})
		} else {
			w.pin(n, p.pid, p.to.Type, p.to.ID.Ino, []byte(p.path))
		}
	}
	if t := w.old.tables[was]; t != nil {
		w.scan.mounts.tables[i] = &MountTable{Namespace: n, Mounts: t.Mounts, Paths: t.Paths}
	}
	return true
}
