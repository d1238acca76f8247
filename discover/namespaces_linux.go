package discover

import (
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// namespaces finds out which namespaces a process or thread is in. ESRCH: it is gone, or a zombie.
func (w *worker) namespaces(seen *[allLinks]*Namespace, s subject, state byte) syscall.Errno {
	if s.pidfd == raw.NoFD || !w.pidfds.Load() || zombie(state) {
		return w.readLinks(seen, s)
	}
	for i := range w.links {
		l := &w.links[i]
		n, errno := w.askPidfd(s.pidfd, l)
		switch {
		case errno == 0:
		case sys.IsMissing(errno) || errno == syscall.EINVAL:
			if i == 0 {
				w.pidfds.Store(false)
				return w.readLinks(seen, s)
			}
			continue // a kernel without that type
		case l.slot >= pidForChildren && errno != syscall.ESRCH:
			continue
		default:
			return errno
		}
		seen[l.slot] = n
	}
	return 0
}

func (w *worker) askPidfd(pidfd int, l *link) (*Namespace, syscall.Errno) {
	uncounted.RLock()
	defer uncounted.RUnlock()
	fd, errno := raw.PidfdNamespace(pidfd, l.request)
	if errno != 0 {
		return nil, errno
	}
	return w.identifyNamespace(fd, l), 0
}

// identifyNamespace owns fd.
func (w *worker) identifyNamespace(fd int, l *link) *Namespace {
	if w.table.serials {
		if n := w.bySerial(fd, l); n != nil {
			raw.CloseNoWait(fd)
			return n
		}
	}
	var st raw.Status
	if errno := raw.StatNoWait(fd, &st); errno != 0 {
		raw.Close(fd)
		return nil
	}
	if n := w.last[l.slot]; n != nil && n.ID.Ino == st.Ino { // it is held, so the number is its own
		raw.CloseNoWait(fd)
		return n
	}
	w.table.mu.Lock()
	n := w.table.learnLocked(fd, st.Ino, l.kind)
	held := n != nil && w.table.held[n.index] != raw.NoFD
	w.table.mu.Unlock()
	if held {
		w.last[l.slot] = n
	}
	return n
}

// bySerial asks for the 64-bit ID, which is cheaper than fstat(2) where the kernel has it; nil if it is a new one.
func (w *worker) bySerial(fd int, l *link) *Namespace {
	serial, errno := raw.Serial(fd)
	if errno != 0 {
		return nil
	}
	if n := w.last[l.slot]; n != nil && n.Serial == serial {
		return n
	}
	n := w.table.withSerial(serial)
	if n != nil {
		w.last[l.slot] = n
	}
	return n
}

// readLinks does it where there are no pidfds that know, and for zombies, which have a few namespaces left.
func (w *worker) readLinks(seen *[allLinks]*Namespace, s subject) syscall.Errno {
	found := false
	for i := range w.links {
		l := &w.links[i]
		text, errno := w.readLink(Processes, s.dir, &l.path)
		switch errno {
		case 0:
		case syscall.ENOENT: // a zombie, a namespace for children without an init, a kernel without that type
			continue
		default:
			return errno
		}
		if kind, inode, ok := procfs.ParseLink(text); ok && kind == l.kind {
			seen[l.slot] = w.open(inode, l, s)
			found = true
		}
	}
	if !found {
		return syscall.ESRCH
	}
	return 0
}

// open returns the namespace of a link; it opens one that was not seen before.
func (w *worker) open(inode uint64, l *link, s subject) *Namespace {
	if n := w.table.known(inode); n != nil {
		return n
	}
	n, errno := w.table.open(l.kind, func() (int, syscall.Errno) {
		call := w.beginCounted(Processes, true)
		if call == nil {
			return raw.NoFD, syscall.ETIMEDOUT
		}
		fd, errno := raw.Open(s.dir, &l.path, raw.ForReading)
		call.endWith(fd)
		return fd, errno
	})
	if errno != 0 {
		_ = w.noted(Processes, errno)
		n, _ = w.table.mention(inode, l.kind)
	}
	return n
}
