package scan

import (
	"cmp"
	"maps"
	"slices"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/species"
)

// takeFiles takes the descriptors of a process that lead to namespaces from the snapshot. Those of which the kernel does
// not tell enough are looked at in /proc.
func (w *worker) takeFiles(p *facts.Process, files []taskiter.File) {
	self := p.PID == w.scan.proc.self
	if self && len(w.scan.ownFDs) != 0 {
		w.lookAt(p, nil, slices.Collect(maps.Keys(w.scan.ownFDs))...)
	}
	for _, f := range files {
		var task *facts.Task
		if f.TID == p.PID {
			if self {
				continue // done, or a discovery's
			}
			f.TID = 0
		} else if task = taskOf(p, f.TID); task == nil {
			continue
		}
		if !w.takeFile(p, task, f) {
			w.lookAt(p, task, f.FD)
		}
	}
}

// taskOf returns a thread of a process, nil if it is not known.
func taskOf(p *facts.Process, tid int) *facts.Task {
	for i := range p.Tasks {
		if p.Tasks[i].TID == tid {
			return &p.Tasks[i]
		}
	}
	return nil
}

// takeFile takes a descriptor of a process, or of a thread of it. It is false if that has to be looked at.
func (w *worker) takeFile(p *facts.Process, task *facts.Task, f taskiter.File) bool {
	opts, kind, by := &w.scan.opts, f.Type, facts.ByFD
	switch f.Kind {
	case taskiter.Held:
	case taskiter.Socket:
		if !opts.has(facts.Sockets) {
			return true
		}
		if opts.has(facts.InFlight) {
			return false
		}
		kind, by = species.CLONE_NEWNET, facts.BySocket
	default:
		return !opts.has(facts.TunTap)
	}
	n := w.takeNamespace(f.Namespace, kind)
	if n == nil {
		return false
	}
	in := p.Namespaces[facts.Net]
	if task != nil {
		in = task.Namespaces[facts.Net]
	}
	if by == facts.ByFD || n.ref != in {
		w.refer(n.ref, facts.Reference{Kind: by, PID: int32(p.PID), TID: int32(f.TID), FD: int32(f.FD)})
	}
	return true
}

// lookAt looks at descriptors of a process, or of a thread of it, unless another has its number by now.
func (w *worker) lookAt(p *facts.Process, task *facts.Task, files ...int) {
	s, start, in := subject{pid: p.PID}, p.Start, &p.Namespaces
	if task != nil {
		s.tid, start, in = task.TID, task.Start, &task.Namespaces
	}
	number := cmp.Or(s.tid, p.PID)
	var errno syscall.Errno
	if s.dir, errno = w.openDir(facts.FDs, w.scan.proc.dir, w.numbered(number)); errno != 0 { // threads are not listed there, but are there
		return
	}
	defer sys.QuickClose(s.dir)
	s.pidfd, errno = sys.QuickPidfd(number, task != nil)
	if w.checked(facts.FDs, errno) != 0 {
		return
	}
	defer sys.QuickClose(s.pidfd)
	fds, errno := w.openDir(facts.FDs, s.dir, &fdPath)
	if errno != 0 {
		return
	}
	defer sys.QuickClose(fds)
	if !w.isSame(start, s.dir) {
		return
	}
	look := w.descriptorLook(s, in, fds)
	for _, fd := range files {
		_ = look.at(fd)
	}
}

// isSame reports whether dir, in /proc, is of a process or thread with that start, and not of another with its number.
func (w *worker) isSame(start uint64, dir int) bool {
	text, errno := w.quick(facts.Processes, dir, &statPath)
	stat, ok := procfs.ParseStat(text)
	return errno == 0 && ok && stat.Start == start
}
