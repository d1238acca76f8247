package scan

import (
	"bytes"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// descriptors looks at the descriptors of a process, or of a thread with its own table, and returns their number, 0 if that is
// not known (before Linux 6.2). If it has as many as in the last result, only those that held a namespace then.
func (w *worker) descriptors(s subject, in *facts.Links, old *facts.Process) (count uint64) {
	dir, errno := w.openDir(facts.FDs, s.dir, &fdPath)
	look := descriptorLook{worker: w, of: s, in: in, dir: dir}
	if errno != 0 {
		look.problem(facts.FDs, 0, errno)
		return 0
	}
	defer raw.CloseNoWait(dir)
	var st raw.Status
	_ = raw.StatNoWait(dir, &st)
	if s.pid == w.scan.proc.self && s.tid == 0 {
		if w.scan.ownFDs == nil {
			w.scan.lookAtSelf(w.caller.read)
		}
		for fd := range w.scan.ownFDs {
			_ = look.at(fd)
		}
		return 0
	}
	if st.Size != 0 && w.keepsFDs(old, st.Size, in) {
		for _, fd := range w.scan.old.fds[s.pid] {
			_ = look.at(fd)
		}
		return st.Size
	}
	next, done := look.guess(st.Size)
	if done {
		return st.Size
	}
	if w.fds, errno = w.listNumbers(facts.FDs, w.fds[:0], s.dir, &fdPath); errno != 0 {
		look.problem(facts.FDs, 0, errno)
		return st.Size
	}
	for _, fd := range w.fds {
		if fd >= next {
			_ = look.at(fd)
		}
	}
	return st.Size
}

// guess looks at the descriptors from 0 up until it has met as many as the size of the directory tells (Linux 6.2), which is
// cheaper than a list, unless there are many gaps. It returns the first that it has not looked at.
func (l *descriptorLook) guess(count uint64) (next int, done bool) {
	size, met := int(min(count, 1<<20)), 0
	for gaps := 4 + size/4; gaps > 0 && met < size; next++ {
		switch errno := l.at(next); errno {
		case 0:
			met++
		case syscall.ENOENT:
			gaps--
		default:
			l.problem(facts.FDs, 0, errno)
			return next, true
		}
	}
	return next, size > 0 && met == size
}

// descriptorLook is a look at the descriptors of one table.
type descriptorLook struct {
	worker  *worker
	of      subject
	in      *facts.Links
	dir     int
	refused bool // the process does not let us have its sockets
}

// problem notes what could not be seen, unless it is gone.
func (l *descriptorLook) problem(source facts.Sources, fd int, errno syscall.Errno) {
	switch errno {
	case syscall.ESRCH, syscall.ENOENT, syscall.EBADF, syscall.ETIMEDOUT: // of the last there is a Problem
	default:
		l.worker.problem(facts.Problem{Source: source, PID: l.of.pid, TID: l.of.tid, FD: fd, Errno: errno})
	}
}

// refer notes that a descriptor leads to a namespace.
func (l *descriptorLook) refer(to facts.Ref, kind facts.Kind, fd int) {
	l.worker.refer(to, facts.Reference{Kind: kind, PID: int32(l.of.pid), TID: int32(l.of.tid), FD: int32(fd)})
}

var (
	tunLink     = []byte("/dev/net/tun")
	deletedMark = []byte(" (deleted)")
	detached    = []byte("/")
	devices     = []byte("/dev/")
)

// at looks where the link of a descriptor leads, which asks no file system.
func (l *descriptorLook) at(fd int) syscall.Errno {
	path := l.worker.numbered(fd)
	text, errno := l.worker.readLink(facts.FDs, l.dir, path)
	if errno != 0 || len(text) == 0 || l.isOurs(fd, text) {
		return errno
	}
	switch text[0] {
	case 's':
		if inode, ok := procfs.ParseSocket(text); ok && !l.refused && l.worker.scan.opts.has(facts.Sockets) {
			l.socket(fd, inode)
		}
	case '/':
		if bytes.Equal(text, tunLink) {
			l.tun(fd)
		} else if l.worker.scan.opts.mayBePin(text) {
			l.path(fd, path)
		}
	default:
		if _, inode, ok := procfs.ParseLink(text); ok {
			l.namespace(fd, inode, path)
		}
	}
	return 0
}

// isOurs reports whether a descriptor belongs to a discovery.
func (l *descriptorLook) isOurs(fd int, link []byte) bool {
	s := l.worker.scan
	return l.of.pid == s.proc.self && l.of.tid == 0 && !s.isOwnFD(fd, link)
}

// mayBePin reports whether to look at a descriptor with such a path: "/", if it was opened through a pin that is gone.
func (o *Options) mayBePin(text []byte) bool {
	if len(text) == 0 || text[0] != '/' {
		return false
	}
	if o.has(facts.PathFDs) {
		return !bytes.HasPrefix(text, devices)
	}
	return bytes.Equal(text, detached) || bytes.HasSuffix(text, deletedMark) && bytes.Contains(text, []byte("/netns/"))
}

// path looks at what lies there without asking a server, which might not answer.
func (l *descriptorLook) path(fd int, path *raw.Path) {
	st, errno := watch(l.worker, facts.PathFDs, func(*caller) (st raw.Status, errno syscall.Errno) {
		errno = raw.StatAt(l.dir, path, &st)
		return st, errno
	})
	if errno == 0 && st.Dev == l.worker.scan.table.dev {
		l.namespace(fd, st.Ino, path)
	}
}

// namespace notes a descriptor of a namespace.
func (l *descriptorLook) namespace(fd int, inode uint64, path *raw.Path) {
	t := l.worker.scan.table
	n := t.withInode(inode)
	if n == nil {
		var errno syscall.Errno
		n, errno = t.open(species.NaNS, func() (int, syscall.Errno) {
			return l.worker.watchOpen(facts.FDs, true, func() (int, syscall.Errno) { return sys.OpenOn(t.dev, l.dir, path) })
		})
		if errno != 0 && errno != syscall.EINVAL { // another file has the number by now
			l.problem(facts.FDs, fd, errno)
		}
	}
	if n != nil {
		l.refer(n.ref, facts.ByFD, fd)
	}
}
