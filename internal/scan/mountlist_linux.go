package scan

import (
	"bytes"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
)

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

// listMounts asks the kernel for each mount (Linux 6.8, of other mount namespaces 6.11). pid is of a process in there, 0 if
// there is none.
func (w *worker) listMounts(n *entry, pid int) (*facts.MountTable, syscall.Errno) {
	if n.serial == 0 {
		return nil, syscall.ENOSYS
	}
	var errno syscall.Errno
	if w.ids, errno = raw.ListMounts(n.serial, w.ids[:0]); errno != 0 {
		return nil, errno
	}
	var table *facts.MountTable
	if w.scan.opts.has(facts.MountTables) {
		table = &facts.MountTable{Namespace: n.ref}
	}
	found, unopened := len(w.found), len(w.unopened)
	for _, id := range w.ids {
		var m raw.MountStat
		if w.buf, errno = raw.StatMount(n.serial, id, raw.MountSuper, w.buf, &m); errno == syscall.ENOENT {
			continue // gone
		}
		if errno != 0 {
			w.found, w.unopened = w.found[:found], w.unopened[:unopened]
			return nil, errno
		}
		if table == nil && m.Magic != raw.NsfsMagic {
			continue
		}
		const all = raw.MountSuper | raw.MountBasics | raw.MountTexts | raw.MountSource
		if w.buf, errno = raw.StatMount(n.serial, id, all, w.buf, &m); errno != 0 {
			continue
		}
		if kind, inode, ok := procfs.ParseLink(m.Root); ok && m.Magic == raw.NsfsMagic {
			w.pin(n, pid, kind, inode, m.Point)
		}
		if table != nil {
			table.Mounts = append(table.Mounts, mountOf(&m))
		}
	}
	w.checkRoot(pid, found, unopened)
	return table, 0
}

// checkRoot notes if the process which was to see the pins from there on does not, since it has a root of its own.
func (w *worker) checkRoot(pid, found, unopened int) {
	if pid == 0 || len(w.found) == found || w.isAtRoot(pid) {
		return
	}
	for i := range w.found[found:] {
		w.found[found+i].row.PID = 0
	}
	for i := range w.unopened[unopened:] {
		w.unopened[unopened+i].pid = 0
	}
}

// isAtRoot reports whether a process has the root of its mount namespace.
func (w *worker) isAtRoot(pid int) bool {
	dir, errno := w.openProcess(facts.Mounts, pid, -1)
	if errno != 0 {
		return false
	}
	defer raw.CloseNoWait(dir)
	root, errno := w.readLink(facts.Mounts, dir, &rootPath)
	return errno == 0 && string(root) == "/"
}

func mountOf(m *raw.MountStat) facts.Mount {
	return facts.Mount{
		ID: int(m.OldID), Parent: int(m.OldParent), Serial: m.ID, Dev: strconv.Itoa(int(m.Major)) + ":" + strconv.Itoa(int(m.Minor)),
		Root: facts.Text(m.Root), Point: facts.Text(m.Point), Type: facts.Text(m.Type), Source: facts.Text(m.Source),
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

// parseMountTable makes a table of a mountinfo.
func (w *worker) parseMountTable(of facts.Ref, text []byte) *facts.MountTable {
	t := &facts.MountTable{Namespace: of, Mounts: make([]facts.Mount, 0, bytes.Count(text, []byte{'\n'}))}
	for m, rest, ok := procfs.NextMount(text); ok; m, rest, ok = procfs.NextMount(rest) {
		w.path = strconv.AppendUint(append(strconv.AppendUint(w.path[:0], uint64(m.Major), 10), ':'), uint64(m.Minor), 10)
		t.Mounts = append(t.Mounts, facts.Mount{
			ID: m.ID, Parent: m.Parent, Dev: w.intern(w.path), Root: w.unescaped(m.Root), Point: w.unescaped(m.Point),
			Options: facts.Text(w.intern(m.Options)), SuperOptions: facts.Text(w.intern(m.SuperBlockOpt)),
			Type: facts.Text(w.intern(m.Type)), Source: w.unescaped(m.Source), Propagation: w.intern(m.Propagation),
		})
	}
	return t
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
