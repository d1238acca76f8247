package discover

import (
	"bytes"
	"strconv"
	"sync"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// mountState is what the look at mounts has got.
type mountState struct {
	done   map[*Namespace]bool
	todo   []*Namespace
	tables []*MountTable // by place in todo
	all    []*MountTable
	lists  map[uint64][]uint64 // of mounts, by the 64-bit ID of the mount namespace
	listed sync.Mutex          // for lists
	stuck  int                 // files that did not answer

	stateStuck bool // those of runtimes
}

// lookAtMounts looks at the mounts of all mount namespaces, and at those of the mount namespaces that are pinned there,
// until there is no new one. The first is looked at alone: mostly the others were made from it and have its pins.
func (s *scan) lookAtMounts() {
	m := &s.mounts
	m.done = map[*Namespace]bool{}
	m.lists = map[uint64][]uint64{}
	if s.opts.has(AllMountNamespaces) {
		s.walkMountNamespaces()
	}
	if s.opts.has(KernelList) {
		s.listNamespaces() // mount namespaces, too, have to be looked at
	}
	for first := true; s.ctx.Err() == nil; first = false {
		m.todo = m.todo[:0]
		for _, n := range s.table.ofType(species.CLONE_NEWNS) {
			if !m.done[n] && (!first || len(m.todo) == 0) {
				m.todo = append(m.todo, n)
				m.done[n] = true
			}
		}
		if len(m.todo) == 0 {
			return
		}
		m.tables = make([]*MountTable, len(m.todo))
		s.share(len(m.todo), (*worker).mountsOf)
		for _, t := range m.tables {
			if t != nil {
				m.all = append(m.all, t)
			}
		}
		s.openPins()
	}
}

// walkMountNamespaces asks the kernel for the mount namespaces before and after one that is known.
func (s *scan) walkMountNamespaces() {
	known := s.table.ofType(species.CLONE_NEWNS)
	start := raw.NoFD
	if len(known) > 0 {
		start = s.table.fd(known[0])
	} else if own := s.openOwn(species.CLONE_NEWNS); own != nil {
		start = s.table.fd(own)
	}
	if start == raw.NoFD {
		s.walkProblem(syscall.EMFILE)
		return
	}
	for _, before := range [...]bool{false, true} {
		for fd := start; s.ctx.Err() == nil; {
			n, errno := s.table.open(species.CLONE_NEWNS, func() (int, syscall.Errno) { return raw.NextMountNamespace(fd, before) })
			if errno == syscall.ENOENT {
				break
			}
			if errno != 0 {
				s.walkProblem(errno)
				return
			}
			if n == nil {
				break
			}
			if fd = s.table.fd(n); fd == raw.NoFD {
				if !s.table.isGone(n) {
					s.walkProblem(syscall.EMFILE) // none can be held any more
				}
				break
			}
		}
	}
}

func (s *scan) walkProblem(errno syscall.Errno) {
	if sys.IsMissing(errno) || errno == syscall.EINVAL {
		return
	}
	s.workers[0].problem(Problem{Source: AllMountNamespaces, Errno: errno})
}

// mountsOf looks at the mounts of one mount namespace: through a process in it, since one text that says everything is
// cheaper than a question for each mount; or by asking for each where there is none, or it does not see them all.
func (w *worker) mountsOf(i int) {
	n := w.mounts.todo[i]
	if w.unchanged(n, i) {
		return
	}
	if w.fewMounts(n) {
		if _, errno := w.listMounts(n, w.table.member(n)); errno == 0 {
			return
		}
	}
	found, unknown := len(w.pins), len(w.unknown)
	table, errno := w.readMounts(n)
	if errno == 0 {
		w.mounts.tables[i] = table
		return
	}
	partial, found2, unknown2 := table, len(w.pins), len(w.unknown)
	table, errno = w.listMounts(n, 0)
	if errno != 0 {
		inside, failed := w.readMountsInside(n)
		if failed == 0 {
			table = inside
		}
		if failed == 0 || exhausted(failed) {
			errno = failed
		}
	}
	if errno == 0 {
		// what a process with a root of its own saw is in there too, but with other paths
		w.pins = append(w.pins[:found], w.pins[found2:]...)
		w.unknown = append(w.unknown[:unknown], w.unknown[unknown2:]...)
		w.mounts.tables[i] = table
		return
	}
	if w.table.isGone(n) {
		w.pins, w.unknown = w.pins[:found], w.unknown[:unknown]
		return
	}
	w.mounts.tables[i] = partial
	w.problem(Problem{Source: Mounts, Type: n.Type, Namespace: n.ID, Errno: errno})
}

// readMounts reads mountinfo of a process. ESRCH: there is none; ERANGE: it does not see all mounts.
func (w *worker) readMounts(n *Namespace) (*MountTable, syscall.Errno) {
	pid := w.table.member(n)
	if pid == 0 {
		return nil, syscall.ESRCH
	}
	w.about(pid, -1)
	dir, errno := w.openDir(Mounts, w.proc, w.number.Number(pid))
	if errno != 0 {
		return nil, errno
	}
	defer raw.CloseNoWait(dir)
	text, errno := w.whole(Mounts, dir, &mountinfoPath)
	if errno != 0 {
		return nil, errno
	}
	link, errno := w.readLink(Mounts, dir, &mntPath)
	if _, inode, ok := procfs.ParseLink(link); errno != 0 || !ok || inode != n.ID.Ino {
		return nil, syscall.ESRCH // the process has left, or another has its PID
	}
	table := w.parseMounts(n, pid, text)
	if w.seesPart(n, dir, text) {
		return table, syscall.ERANGE
	}
	return table, 0
}

// seesPart says whether a process has a root of its own, so that its mountinfo does not show all mounts.
func (w *worker) seesPart(n *Namespace, dir int, text []byte) bool {
	fd := w.table.fd(n)
	if fd == raw.NoFD {
		return false
	}
	// The root of the namespace itself is out of sight even then, and cannot be a pin.
	if count, errno := raw.CountMounts(fd); errno == 0 {
		return bytes.Count(text, []byte{'\n'}) < count-1
	}
	root, errno := w.readLink(Mounts, dir, &rootPath) // before 6.12
	return errno == 0 && string(root) != "/"
}

// parseMounts notes the pins in a mountinfo, and with MountTables all of it. pid is that of pin.
func (w *worker) parseMounts(n *Namespace, pid int, text []byte) *MountTable {
	for m, rest, ok := procfs.NextPin(text); ok; m, rest, ok = procfs.NextPin(rest) {
		if kind, inode, ok := procfs.ParseLink(m.Root); ok {
			w.path = procfs.Unescape(w.path[:0], m.Point)
			w.pin(n, pid, kind, inode, w.path)
		}
	}
	if !w.opts.has(MountTables) {
		return nil
	}
	return parseMountTable(n, text)
}

var (
	mountinfoPath = raw.NewPath("mountinfo")
	mntPath       = raw.NewPath("ns/mnt")
	rootPath      = raw.NewPath("root")
)

// fewMounts says whether asking for each mount is cheaper than one text, which has to be opened and closed.
func (w *worker) fewMounts(n *Namespace) bool {
	const few = 48
	fd := w.table.fd(n)
	if fd == raw.NoFD || w.opts.has(MountTables) {
		return false
	}
	count, errno := raw.CountMounts(fd)
	return errno == 0 && count <= few
}

// listMounts asks the kernel for each mount (6.8, of other mount namespaces 6.11). pid is of a process in there, 0 if
// there is none.
func (w *worker) listMounts(n *Namespace, pid int) (*MountTable, syscall.Errno) {
	if n.Serial == 0 {
		return nil, syscall.ENOSYS
	}
	var errno syscall.Errno
	if w.ids, errno = raw.ListMounts(n.Serial, w.ids[:0]); errno != 0 {
		return nil, errno
	}
	var table *MountTable
	if w.opts.has(MountTables) {
		table = &MountTable{Namespace: n}
	}
	found, unknown := len(w.pins), len(w.unknown)
	for _, id := range w.ids {
		var m raw.MountStat
		if w.buf, errno = raw.StatMount(n.Serial, id, raw.MountSuper, w.buf, &m); errno == syscall.ENOENT {
			continue // gone
		}
		if errno != 0 {
			w.pins, w.unknown = w.pins[:found], w.unknown[:unknown]
			return nil, errno
		}
		if table == nil && m.Magic != raw.NsfsMagic {
			continue
		}
		const all = raw.MountSuper | raw.MountBasics | raw.MountTexts | raw.MountSource
		if w.buf, errno = raw.StatMount(n.Serial, id, all, w.buf, &m); errno != 0 {
			continue
		}
		if kind, inode, ok := procfs.ParseLink(m.Root); ok && m.Magic == raw.NsfsMagic {
			w.pin(n, pid, kind, inode, m.Point)
		}
		if table != nil {
			table.Mounts = append(table.Mounts, mountOf(&m))
		}
	}
	if table != nil {
		table.arrange()
	}
	w.checkRoot(pid, found, unknown)
	return table, 0
}

// checkRoot notes if the process which was to see the pins from there on does not, since it has a root of its own.
func (w *worker) checkRoot(pid, pins, unknown int) {
	if pid == 0 || len(w.pins) == pins || w.atRoot(pid) {
		return
	}
	for i := range w.pins[pins:] {
		w.pins[pins+i].pid = 0
	}
	for i := range w.unknown[unknown:] {
		w.unknown[unknown+i].pid = 0
	}
}

// atRoot says whether a process has the root of its mount namespace.
func (w *worker) atRoot(pid int) bool {
	w.about(pid, -1)
	dir, errno := w.openDir(Mounts, w.proc, w.number.Number(pid))
	if errno != 0 {
		return false
	}
	defer raw.CloseNoWait(dir)
	root, errno := w.readLink(Mounts, dir, &rootPath)
	return errno == 0 && string(root) == "/"
}

func mountOf(m *raw.MountStat) *Mount {
	return &Mount{
		ID: int(m.OldID), ParentID: int(m.OldParent), Serial: m.ID, Dev: strconv.Itoa(int(m.Major)) + ":" + strconv.Itoa(int(m.Minor)),
		Root: string(m.Root), Point: string(m.Point), Type: string(m.Type), Source: string(m.Source),
		Propagation: propagation(m),
	}
}

// propagation writes it as mountinfo does.
func propagation(m *raw.MountStat) string {
	const shared, slave, unbindable = 1 << 20, 1 << 19, 1 << 17 // MS_SHARED and so on
	var b []byte
	if m.Propagation&shared != 0 {
		b = strconv.AppendUint(append(b, "shared:"...), m.PeerGroup, 10)
	}
	if m.Propagation&slave != 0 {
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(append(b, "master:"...), m.Master, 10)
	}
	if m.Propagation&unbindable != 0 {
		b = append(b, "unbindable"...)
	}
	return string(b)
}

// pin notes that a namespace is mounted somewhere. pid is of a process that sees the path, 0 if it is that of the mount
// namespace's own root.
func (w *worker) pin(in *Namespace, pid int, kind species.NamespaceType, inode uint64, path []byte) {
	n, known := w.table.mention(inode, kind)
	kept, seen := w.paths[string(path)] // mount namespaces mostly have the same pins
	if !seen {
		kept = string(path)
		w.paths[kept] = kept
	}
	w.pins = append(w.pins, pin{n, in, kept, int32(pid)})
	if !known {
		w.unknown = append(w.unknown, unknownPin{n: n, in: in, pid: pid, path: kept})
	}
}
