package scan

import (
	"bytes"
	"sync"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// mounts is what the look at mounts has got.
type mounts struct {
	done   map[*entry]bool
	todo   []*entry
	tables []*facts.MountTable // by index in todo
	all    []facts.MountTable
	stuck  int // files that did not answer

	mu  sync.Mutex
	ids map[uint64][]uint64 // of mounts, by the 64-bit ID of the mount namespace
}

func (m *mounts) setIDs(serial uint64, ids []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids[serial] = ids
}

// lookAtMounts looks at the mounts of all mount namespaces, and at those of the mount namespaces that are pinned there,
// until there is no new one. The first is looked at alone: mostly the others were made from it and have its pins.
func (s *scan) lookAtMounts() {
	m := &s.mounts
	if !s.opts.has(facts.Mounts) {
		return
	}
	m.done, m.ids = map[*entry]bool{}, map[uint64][]uint64{}
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
		m.tables = make([]*facts.MountTable, len(m.todo))
		s.share(len(m.todo), (*worker).mountsOf)
		for _, t := range m.tables {
			if t != nil {
				m.all = append(m.all, *t)
			}
		}
		s.openPins()
	}
}

// walkMountNamespaces asks the kernel for the mount namespaces before and after one that is known.
func (s *scan) walkMountNamespaces() {
	if !s.opts.has(facts.Mounts | facts.AllMountNamespaces) {
		return
	}
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
	s.workers[0].problem(facts.Problem{Source: facts.AllMountNamespaces, Errno: errno})
}

// mountsOf looks at the mounts of one mount namespace: through a process in it, since one text that says everything is
// cheaper than a question for each mount; or by asking for each where there is none, or it does not see them all.
func (w *worker) mountsOf(i int) {
	n := w.scan.mounts.todo[i]
	if w.keepsMounts(n, i) {
		return
	}
	if w.hasFewMounts(n) {
		if _, errno := w.listMounts(n, w.scan.table.member(n)); errno == 0 {
			return
		}
	}
	found, unopened := len(w.found), len(w.unopened)
	table, errno := w.readMounts(n)
	if errno == 0 {
		w.scan.mounts.tables[i] = table
		return
	}
	partial, found2, unopened2 := table, len(w.found), len(w.unopened)
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
		w.found = append(w.found[:found], w.found[found2:]...)
		w.unopened = append(w.unopened[:unopened], w.unopened[unopened2:]...)
		w.scan.mounts.tables[i] = table
		return
	}
	if w.scan.table.isGone(n) {
		w.found, w.unopened = w.found[:found], w.unopened[:unopened]
		return
	}
	w.scan.mounts.tables[i] = partial
	w.problem(facts.Problem{Source: facts.Mounts, Type: n.kind, Namespace: n.inode, Errno: errno})
}

// readMounts reads mountinfo of a process. ESRCH: there is none; ERANGE: it does not see all mounts.
func (w *worker) readMounts(n *entry) (*facts.MountTable, syscall.Errno) {
	pid := w.scan.table.member(n)
	if pid == 0 {
		return nil, syscall.ESRCH
	}
	dir, errno := w.openProcess(facts.Mounts, pid, -1)
	if errno != 0 {
		return nil, errno
	}
	defer raw.CloseNoWait(dir)
	text, errno := w.read(facts.Mounts, (*sys.ProcReader).Whole, dir, &mountinfoPath)
	if errno != 0 {
		return nil, errno
	}
	link, errno := w.readLink(facts.Mounts, dir, &mntPath)
	if _, inode, ok := procfs.ParseLink(link); errno != 0 || !ok || inode != n.inode {
		return nil, syscall.ESRCH // the process has left, or another has its PID
	}
	table := w.parseMounts(n, pid, text)
	if w.seesPart(n, dir, text) {
		return table, syscall.ERANGE
	}
	return table, 0
}

// seesPart reports whether a process has a root of its own, so that its mountinfo does not show all mounts.
func (w *worker) seesPart(n *entry, dir int, text []byte) bool {
	fd := w.scan.table.fd(n)
	if fd == raw.NoFD {
		return false
	}
	// The root of the namespace itself is out of sight even then, and cannot be a pin.
	if count, errno := raw.CountMounts(fd); errno == 0 {
		return bytes.Count(text, []byte{'\n'}) < count-1
	}
	root, errno := w.readLink(facts.Mounts, dir, &rootPath) // before Linux 6.12
	return errno == 0 && string(root) != "/"
}

// parseMounts notes the pins in a mountinfo, and with MountTables all of it. pid is as that of pin.
func (w *worker) parseMounts(n *entry, pid int, text []byte) *facts.MountTable {
	for m, rest, ok := procfs.NextPin(text); ok; m, rest, ok = procfs.NextPin(rest) {
		if kind, inode, ok := procfs.ParseLink(m.Root); ok {
			w.path = procfs.Unescape(w.path[:0], m.Point)
			w.pin(n, pid, kind, inode, w.path)
		}
	}
	if !w.scan.opts.has(facts.MountTables) {
		return nil
	}
	return w.parseMountTable(n.ref, text)
}

var (
	mountinfoPath = raw.NewPath("mountinfo")
	mntPath       = raw.NewPath("ns/mnt")
	rootPath      = raw.NewPath("root")
	mountinfoHere = raw.NewPath("thread-self/mountinfo")
)

// readMountsInside reads mountinfo on a thread that joins the mount namespace, where the kernel lists no mounts (before
// Linux 6.11), or not to us.
func (w *worker) readMountsInside(n *entry) (*facts.MountTable, syscall.Errno) {
	fd := w.scan.table.fd(n)
	if fd == raw.NoFD {
		return nil, w.scan.table.notHeld(n)
	}
	read, proc := w.caller.read, w.scan.proc.dir
	text, err := inside(fd, func() ([]byte, error) {
		text, errno := read.Whole(proc, &mountinfoHere)
		if errno != 0 {
			return nil, errno
		}
		return text, nil
	})
	if err != nil {
		return nil, errnoOf(err)
	}
	return w.parseMounts(n, 0, text), 0
}
