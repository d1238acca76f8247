package scan

import (
	"bytes"
	"strconv"
	"strings"
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
	done   int // of the mount namespaces, in the order of the table
	todo   []*entry
	tables []facts.MountTable // by index in todo; with no namespace for none
	all    []facts.MountTable
	stuck  int // files that did not answer

	mu  sync.Mutex
	ids map[uint64][]uint64 // of mounts, by the 64-bit ID of the mount namespace
}

// lookAtMounts looks at the mounts of all mount namespaces, and at those of the mount namespaces that are pinned there,
// until there is no new one. The first is looked at alone: mostly the others were made from it and have its pins.
func (s *scan) lookAtMounts() {
	m := &s.mounts
	if !s.opts.has(facts.Mounts) {
		return
	}
	m.ids = map[uint64][]uint64{}
	for s.ctx.Err() == nil {
		m.todo = s.table.ofType(species.CLONE_NEWNS)[m.done:]
		if len(m.todo) == 0 {
			return
		}
		if m.done == 0 {
			m.todo = m.todo[:1]
		}
		m.done += len(m.todo)
		m.tables = make([]facts.MountTable, len(m.todo))
		s.share(len(m.todo), (*worker).mountsOf)
		m.all = append(m.all, m.tables...)
		s.openPins()
	}
}

// mountsOf looks at the mounts of one mount namespace: through a process in it, since one text that says everything is
// cheaper than a question for each mount; or by asking for each where there is none, or it does not see them all.
func (w *worker) mountsOf(i int) {
	n, table := w.scan.mounts.todo[i], &w.scan.mounts.tables[i]
	if w.keepsMounts(n, i) {
		return
	}
	pid := w.scan.table.member(n, 0)
	if w.hasFewMounts(n) {
		if _, errno := w.listMounts(n, pid); errno == 0 {
			return
		}
	}
	text, errno := w.readMounts(n, pid)
	if errno == 0 {
		*table = w.parseMounts(n, pid, text)
		return
	}
	partial := bytes.Clone(text)
	if *table, errno = w.listMounts(n, 0); errno == 0 {
		return
	}
	text, failed := w.readMountsInside(n)
	switch {
	case failed == 0:
		*table = w.parseMounts(n, 0, text)
		return
	case exhausted(failed):
		errno = failed
	}
	if w.scan.table.isGone(n) {
		return
	}
	if partial != nil {
		*table = w.parseMounts(n, pid, partial)
	}
	w.problem(facts.Problem{Source: facts.Mounts, Type: n.kind, Namespace: n.inode, Errno: errno})
}

// readMounts reads mountinfo of a process. ESRCH: there is none; ERANGE: it does not see all mounts.
func (w *worker) readMounts(n *entry, pid int) ([]byte, syscall.Errno) {
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
	if w.seesPart(n, dir, text) {
		errno = syscall.ERANGE
	}
	return text, errno
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
func (w *worker) parseMounts(n *entry, pid int, text []byte) (table facts.MountTable) {
	for m, rest, ok := procfs.NextPin(text); ok; m, rest, ok = procfs.NextPin(rest) {
		if kind, inode, ok := procfs.ParseLink(m.Root); ok {
			w.path = procfs.Unescape(w.path[:0], m.Point)
			w.pin(n, pid, kind, inode, w.path)
		}
	}
	if w.scan.opts.has(facts.MountTables) {
		table = facts.MountTable{Namespace: n.ref, Mounts: w.parseMountTable(text)}
	}
	return table
}

var (
	mountinfoPath = raw.NewPath("mountinfo")
	mntPath       = raw.NewPath("ns/mnt")
	rootPath      = raw.NewPath("root")
	mountinfoHere = raw.NewPath("thread-self/mountinfo")
)

// readMountsInside reads mountinfo on a thread that joins the mount namespace, where listMounts is not possible.
func (w *worker) readMountsInside(n *entry) ([]byte, syscall.Errno) {
	fd := w.scan.table.fd(n)
	if fd == raw.NoFD {
		return nil, w.scan.table.notHeld(n)
	}
	read, proc := w.caller.read, w.scan.proc.dir
	var text []byte
	errno, err := inside(fd, func() (errno syscall.Errno, _ error) {
		text, errno = read.Whole(proc, &mountinfoHere)
		return errno, nil
	})
	if err != nil {
		errno = errnoOf(err)
	}
	return text, errno
}

// hasFewMounts reports whether asking for each mount is cheaper than one text, which has to be opened and closed.
func (w *worker) hasFewMounts(n *entry) bool {
	const few = 48
	fd := w.scan.table.fd(n)
	if fd == raw.NoFD || w.scan.opts.has(facts.MountTables) {
		return false
	}
	count, errno := raw.CountMounts(fd)
	return errno == 0 && count <= few
}

// listMounts asks for each mount (Linux 6.8, other mount namespaces 6.11). pid is of a process in there, 0: there is none.
func (w *worker) listMounts(n *entry, pid int) (table facts.MountTable, errno syscall.Errno) {
	if n.serial == 0 {
		return table, syscall.ENOSYS
	}
	if w.ids, errno = raw.ListMounts(n.serial, w.ids[:0]); errno != 0 {
		return table, errno
	}
	if w.scan.opts.has(facts.MountTables) {
		table.Namespace = n.ref
	}
	found, unopened := len(w.found), len(w.unopened)
	for _, id := range w.ids {
		var m raw.MountStat
		if w.buf, errno = raw.StatMount(n.serial, id, raw.MountSuper, w.buf, &m); errno == syscall.ENOENT {
			continue // gone
		}
		if errno != 0 {
			w.found, w.unopened = w.found[:found], w.unopened[:unopened]
			return facts.MountTable{}, errno
		}
		if table.Namespace == 0 && m.Magic != raw.NsfsMagic {
			continue
		}
		const all = raw.MountSuper | raw.MountBasics | raw.MountTexts | raw.MountSource
		if w.buf, errno = raw.StatMount(n.serial, id, all, w.buf, &m); errno != 0 {
			continue
		}
		if kind, inode, ok := procfs.ParseLink(m.Root); ok && m.Magic == raw.NsfsMagic {
			if len(w.found) == found {
				pid = w.atRoot(pid)
			}
			w.pin(n, pid, kind, inode, m.Point)
		}
		if table.Namespace != 0 {
			table.Mounts = append(table.Mounts, facts.Mount{ID: int(m.OldID), Parent: int(m.OldParent), Serial: m.ID,
				Dev: strconv.Itoa(int(m.Major)) + ":" + strconv.Itoa(int(m.Minor)), Root: facts.Text(m.Root), Point: facts.Text(m.Point),
				Type: facts.Text(m.Type), Source: facts.Text(m.Source), Propagation: propagation(&m)})
		}
	}
	return table, 0
}

// atRoot returns a process that has the root of its mount namespace, and so sees the pins; 0 if it does not.
func (w *worker) atRoot(pid int) int {
	if pid == 0 {
		return 0
	}
	dir, errno := w.openProcess(facts.Mounts, pid, -1)
	if errno != 0 {
		return 0
	}
	defer raw.CloseNoWait(dir)
	if root, errno := w.readLink(facts.Mounts, dir, &rootPath); errno != 0 || string(root) != "/" {
		return 0
	}
	return pid
}

// propagation writes it as mountinfo does.
func propagation(m *raw.MountStat) string {
	const shared, slave, unbindable = 1 << 20, 1 << 19, 1 << 17 // MS_SHARED and so on
	var words []string
	if m.Propagation&shared != 0 {
		words = append(words, "shared:"+strconv.FormatUint(m.PeerGroup, 10))
	}
	if m.Propagation&slave != 0 {
		words = append(words, "master:"+strconv.FormatUint(m.Master, 10))
	}
	if m.Propagation&unbindable != 0 {
		words = append(words, "unbindable")
	}
	return strings.Join(words, " ")
}

// parseMountTable makes rows of a mountinfo.
func (w *worker) parseMountTable(text []byte) []facts.Mount {
	mounts := make([]facts.Mount, 0, bytes.Count(text, []byte{'\n'}))
	for m, rest, ok := procfs.NextMount(text); ok; m, rest, ok = procfs.NextMount(rest) {
		w.path = strconv.AppendUint(append(strconv.AppendUint(w.path[:0], uint64(m.Major), 10), ':'), uint64(m.Minor), 10)
		mounts = append(mounts, facts.Mount{
			ID: m.ID, Parent: m.Parent, Dev: w.intern(w.path), Root: w.unescaped(m.Root), Point: w.unescaped(m.Point),
			Options: facts.Text(w.intern(m.Options)), SuperOptions: facts.Text(w.intern(m.SuperBlockOpt)),
			Type: facts.Text(w.intern(m.Type)), Source: w.unescaped(m.Source), Propagation: w.intern(m.Propagation),
		})
	}
	return mounts
}

func (w *worker) unescaped(text []byte) facts.Text {
	w.path = procfs.Unescape(w.path[:0], text)
	return facts.Text(w.intern(w.path))
}

// intern returns a text as a string, which is the same for all that are equal: mount namespaces have much in common.
func (w *worker) intern(text []byte) string {
	if s, ok := w.texts[string(text)]; ok {
		return s
	}
	s := string(text)
	w.texts[s] = s
	return s
}
