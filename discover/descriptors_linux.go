package discover

import (
	"bytes"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// descriptors looks at the open descriptors of a process, or of a thread with a table of its own, and returns their
// number, 0 if that is not known (6.2). Of a process known from before, with that many, it looks only at those that
// held a namespace then.
func (w *worker) descriptors(s subject, in *NamespacesSet, kept *Process) (count uint64) {
	dir, errno := w.openDir(FDs, s.dir, &fdPath)
	if errno != 0 {
		w.descriptorProblem(FDs, s, 0, errno)
		return 0
	}
	defer raw.CloseNoWait(dir)
	var st raw.Status
	_ = raw.StatNoWait(dir, &st)
	look := descriptorLook{worker: w, subject: s, in: in, dir: dir, sockets: w.opts.has(Sockets)}
	if s.pid == w.self && s.tid == 0 {
		if w.ownFDs == nil {
			w.lookAtSelf(w.read)
		}
		for fd := range w.ownFDs {
			_ = look.at(fd)
		}
		return 0
	}
	if st.Size != 0 && w.keepsFDs(kept, st.Size, in) {
		for _, fd := range w.old.fds[s.pid] {
			_ = look.at(fd)
		}
		return st.Size
	}
	next, done := look.guess(st.Size)
	if !done {
		look.list(next)
	}
	return st.Size
}

// list lists the descriptors and looks at those from next up.
func (l *descriptorLook) list(next int) {
	w, s := l.worker, l.subject
	var errno syscall.Errno
	if w.fds, errno = w.listNumbers(FDs, w.fds[:0], s.dir, &fdPath); errno != 0 {
		w.descriptorProblem(FDs, s, 0, errno)
		return
	}
	for _, fd := range w.fds {
		if fd >= next {
			_ = l.at(fd)
		}
	}
}

// guess looks at the descriptors from 0 up until it has met as many as there are, which the size of the directory tells
// (6.2): listing it takes as long as half of them. It gives up when there are too many gaps, and returns the first that
// it has not looked at.
func (l *descriptorLook) guess(count uint64) (next int, done bool) {
	if count == 0 {
		return 0, false
	}
	size := int(min(count, 1<<20))
	gaps := 4 + size/4
	for next, met := 0, 0; gaps > 0; next++ {
		switch errno := l.at(next); errno {
		case 0:
			met++
		case syscall.ENOENT:
			gaps--
		default:
			l.descriptorProblem(FDs, l.subject, 0, errno)
			return next, true
		}
		if met == size {
			return next + 1, true
		}
		if gaps == 0 {
			return next + 1, false
		}
	}
	return 0, false
}

// descriptorProblem notes what could not be seen, unless it is gone.
func (w *worker) descriptorProblem(source Sources, s subject, fd int, errno syscall.Errno) {
	switch errno {
	case syscall.ESRCH, syscall.ENOENT, syscall.EBADF:
		return
	case syscall.ETIMEDOUT: // there is one
		return
	}
	w.problem(Problem{Source: source, PID: s.pid, TID: s.tid, FD: fd, Errno: errno})
}

// descriptorLook is a look at the descriptors of one table.
type descriptorLook struct {
	*worker
	subject
	in      *NamespacesSet
	dir     int
	sockets bool // until the process does not let us
}

var (
	tunLink     = []byte("/dev/net/tun")
	deletedMark = []byte(" (deleted)")
	detached    = []byte("/")
	devices     = []byte("/dev/")
)

// at looks where the link of a descriptor leads, which asks no file system.
func (l *descriptorLook) at(fd int) syscall.Errno {
	path := l.number.Number(fd)
	text, errno := l.readLink(FDs, l.dir, path)
	if errno != 0 || len(text) == 0 || l.transient(fd, text) {
		return errno
	}
	switch text[0] {
	case 's':
		if inode, ok := procfs.ParseSocket(text); ok && l.sockets {
			l.socket(fd, inode)
		}
	case '/':
		if bytes.Equal(text, tunLink) {
			l.tun(fd)
		} else if l.mayBePin(text) {
			l.path(fd, path)
		}
	default:
		if _, inode, ok := procfs.ParseLink(text); ok {
			l.namespace(fd, inode, path)
		}
	}
	return 0
}

// transient says whether a descriptor belongs to a discovery.
func (l *descriptorLook) transient(fd int, link []byte) bool {
	return l.pid == l.self && l.tid == 0 && !l.isOwnFD(fd, link)
}

// mayBePin says whether to look at a descriptor with such a path. What was opened through a pin that is gone has the
// root for a path.
func (s *scan) mayBePin(text []byte) bool {
	if len(text) == 0 || text[0] != '/' {
		return false
	}
	if s.opts.has(PathFDs) {
		return !bytes.HasPrefix(text, devices)
	}
	return bytes.Equal(text, detached) || bytes.HasSuffix(text, deletedMark) && bytes.Contains(text, []byte("/netns/"))
}

// path looks at what lies there without asking a server, which might not answer.
func (l *descriptorLook) path(fd int, path *raw.Path) {
	call := l.begin(PathFDs)
	if call == nil {
		return
	}
	var st raw.Status
	errno := raw.StatAt(l.dir, path, &st)
	call.end()
	if errno == 0 && st.Dev == l.table.dev {
		l.namespace(fd, st.Ino, path)
	}
}

// namespace notes a descriptor of a namespace.
func (l *descriptorLook) namespace(fd int, inode uint64, path *raw.Path) {
	n := l.table.known(inode)
	if n == nil {
		var errno syscall.Errno
		n, errno = l.table.open(species.NaNS, func() (int, syscall.Errno) {
			call := l.beginCounted(FDs, true)
			if call == nil {
				return raw.NoFD, syscall.ETIMEDOUT
			}
			fd, errno := sys.OpenOn(l.table.dev, l.dir, path)
			call.endWith(fd)
			return fd, errno
		})
		if errno != 0 && errno != syscall.EINVAL { // another file has the number by now
			l.descriptorProblem(FDs, l.subject, fd, errno)
		}
	}
	if n != nil {
		l.refer(n, Reference{Kind: ByFD, PID: l.pid, TID: l.tid, FD: fd})
	}
}

// socket looks which network namespace a socket is in. One that several processes have is looked at once, through the
// first that lets us.
func (l *descriptorLook) socket(fd int, inode uint64) {
	if n, seen := l.worker.sockets[inode]; seen && !l.opts.has(InFlight) {
		l.referSocket(n, fd)
		return
	}
	own, errno := l.duplicate(Sockets, fd)
	if errno != 0 {
		if errno == syscall.EPERM || errno == syscall.EACCES || errno == syscall.ENOSYS {
			l.sockets = false
		}
		l.descriptorProblem(Sockets, l.subject, fd, errno)
		return
	}
	var st raw.Status
	if errno := raw.Stat(own, &st); errno == 0 && st.Ino == inode && st.IsSocket() { // another one may have the number by now
		l.ownSocket(fd, own, inode)
	}
	l.drop(Sockets, own)
}

// ownSocket looks at a duplicate of a socket.
func (l *descriptorLook) ownSocket(fd, own int, inode uint64) {
	n, errno := l.networkOf(own)
	if errno != 0 {
		l.descriptorProblem(Sockets, l.subject, fd, errno)
	}
	l.worker.sockets[inode] = n
	l.referSocket(n, fd)
	if l.opts.has(InFlight) {
		l.messages(fd, own)
	}
}

func (l *descriptorLook) referSocket(n *Namespace, fd int) {
	if n != nil && n != l.in[netSlot] {
		l.refer(n, Reference{Kind: BySocket, PID: l.pid, TID: l.tid, FD: fd})
	}
}

// duplicate returns a duplicate of a descriptor, for drop. ENOSYS: there is no pidfd, or the kernel cannot do it.
func (l *descriptorLook) duplicate(source Sources, fd int) (int, syscall.Errno) {
	if l.pidfd == raw.NoFD {
		return raw.NoFD, syscall.ENOSYS
	}
	return l.take(source, l.pidfd, fd)
}

// networkOf asks a socket for the number of its network namespace (5.14), and only for an unknown one for the namespace
// itself, which takes CAP_NET_ADMIN over it.
func (l *descriptorLook) networkOf(socket int) (*Namespace, syscall.Errno) {
	cookie, cookieErrno := raw.Cookie(socket)
	if cookieErrno == 0 {
		if n := l.table.cookie(cookie); n != nil {
			return n, 0
		}
	}
	n, errno := l.table.open(species.CLONE_NEWNET, func() (int, syscall.Errno) { return raw.NetworkOfSocket(socket) })
	if n != nil && cookieErrno == 0 {
		l.table.setCookie(cookie, n)
	}
	return n, errno
}

// networkOfTun asks a TUN or TAP descriptor for the network namespace of its device. Anybody may have called a file of a
// file system of his own like that.
func (l *descriptorLook) networkOfTun(own int) (*Namespace, syscall.Errno) {
	var st raw.Status
	if errno := raw.Stat(own, &st); errno != 0 || !st.IsTun() {
		return nil, syscall.ENOTTY
	}
	return l.table.open(species.CLONE_NEWNET, func() (int, syscall.Errno) {
		call := l.beginCounted(TunTap, true)
		if call == nil {
			return raw.NoFD, syscall.ETIMEDOUT
		}
		fd, errno := raw.NetworkOfTun(own)
		call.endWith(fd)
		return fd, errno
	})
}

// tun looks which network namespace the device of a TUN or TAP descriptor is in.
func (l *descriptorLook) tun(fd int) {
	if !l.opts.has(TunTap) {
		return
	}
	own, errno := l.duplicate(TunTap, fd)
	if errno != 0 {
		l.descriptorProblem(TunTap, l.subject, fd, errno)
		return
	}
	back := false
	defer func() {
		if !back { // a call was given up
			drop(own)
		}
	}()
	n, errno := l.networkOfTun(own)
	back = true
	l.drop(TunTap, own)
	switch errno {
	case 0:
		if n != nil {
			l.refer(n, Reference{Kind: ByTun, PID: l.pid, TID: l.tid, FD: fd})
		}
	case syscall.EBADFD, syscall.ENOTTY, syscall.EINVAL: // no device, no such descriptor, a kernel before 5.2
	default:
		l.descriptorProblem(TunTap, l.subject, fd, errno)
	}
}
