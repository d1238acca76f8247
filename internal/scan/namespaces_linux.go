package scan

import (
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// nsLink is one of the links in /proc/PID/ns.
type nsLink struct {
	at      int // in facts.Links
	kind    species.NamespaceType
	request uint // of a pidfd
	path    raw.Path
}

func nsLinkAt(i int) nsLink {
	request := raw.PidfdRequest(facts.LinkType(i))
	switch i {
	case facts.PIDForChildren:
		request = raw.PidfdRequest(raw.PIDForChildren)
	case facts.TimeForChildren:
		request = raw.PidfdRequest(raw.TimeForChildren)
	}
	return nsLink{i, facts.LinkType(i), request, raw.NewPath("ns/" + facts.LinkName(i))}
}

// seen are the namespaces of a process or thread, as in facts.Links, but those for children also if they are no others.
type seen [len(facts.Links{})]*entry

// links returns them as references, and notes those in which children of a process or thread will be, but it is not.
func (w *worker) links(in *seen, pid, tid int) (l facts.Links) {
	for i, n := range in {
		if n == nil {
			continue
		}
		if i >= facts.PIDForChildren {
			if n == in[facts.TypeIndex(facts.LinkType(i))] {
				continue
			}
			w.refer(n.ref, facts.Reference{Kind: facts.ForChildren, PID: int32(pid), TID: int32(tid)})
		}
		l[i] = n.ref
	}
	return l
}

// namespaces finds out which namespaces a process or thread is in. ESRCH: it is gone, or a zombie.
func (w *worker) namespaces(in *seen, s subject, state facts.State) syscall.Errno {
	pidfds := &w.scan.pidfds
	if s.pidfd == raw.NoFD || !pidfds.Load() || state.Zombie() {
		return w.readLinks(in, s)
	}
	for i := range w.scan.links {
		l := &w.scan.links[i]
		n, errno := w.askPidfd(s.pidfd, l)
		switch {
		case errno == 0:
		case sys.IsMissing(errno) || errno == syscall.EINVAL:
			if i == 0 {
				pidfds.Store(false)
				return w.readLinks(in, s)
			}
			continue // a kernel without that type
		case l.at >= facts.PIDForChildren && errno != syscall.ESRCH:
			continue
		default:
			return errno
		}
		in[l.at] = n
	}
	return 0
}

// askPidfd asks for the 64-bit ID first, which is cheaper than fstat(2) where the kernel has it.
func (w *worker) askPidfd(pidfd int, l *nsLink) (*entry, syscall.Errno) {
	inPassing.open()
	defer inPassing.close()
	fd, errno := raw.PidfdNamespace(pidfd, l.request)
	if errno != 0 {
		return nil, errno
	}
	if w.scan.table.serials {
		if serial, errno := raw.Serial(fd); errno == 0 {
			if n := w.withSerial(l.at, serial); n != nil {
				raw.CloseNoWait(fd)
				return n, 0
			}
		}
	}
	return w.scan.table.opened(fd, l.kind), 0
}

// withSerial returns the namespace with that 64-bit ID, which some link leads to; nil if it was not seen yet.
func (w *worker) withSerial(link int, serial uint64) *entry {
	if n := w.last[link]; n != nil && n.serial == serial {
		return n
	}
	n := w.scan.table.withSerial(serial)
	if n != nil {
		w.last[link] = n
	}
	return n
}

// readLinks does it where there are no pidfds that know, and for zombies, which have a few namespaces left.
func (w *worker) readLinks(in *seen, s subject) syscall.Errno {
	found := false
	for i := range w.scan.links {
		l := &w.scan.links[i]
		text, errno := w.readLink(facts.Processes, s.dir, &l.path)
		switch errno {
		case 0:
		case syscall.ENOENT: // a zombie, a namespace for children without an init, a kernel without that type
			continue
		default:
			return errno
		}
		if kind, inode, ok := procfs.ParseLink(text); ok && kind == l.kind {
			in[l.at] = w.openLink(inode, l, s)
			found = true
		}
	}
	if !found {
		return syscall.ESRCH
	}
	return 0
}

// openLink returns the namespace of a link; it opens one that was not seen before.
func (w *worker) openLink(inode uint64, l *nsLink, s subject) *entry {
	t := w.scan.table
	if n := t.withInode(inode); n != nil {
		return n
	}
	n, errno := t.open(l.kind, func() (int, syscall.Errno) {
		return w.watchOpen(facts.Processes, true, func() (int, syscall.Errno) { return raw.Open(s.dir, &l.path, raw.ForReading) })
	})
	if errno != 0 {
		_ = w.checked(facts.Processes, errno)
		n, _ = t.mentioned(inode, l.kind)
	}
	return n
}
