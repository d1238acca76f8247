package discover

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/species"
)

// shotFiles takes the descriptors of a process that lead to namespaces from the snapshot. Those of which the kernel has
// not told enough are looked at in /proc.
func (w *worker) shotFiles(p *Process, files []taskiter.File) {
	if p.PID == w.self && len(w.ownFDs) != 0 {
		w.lookAt(p, 0, &p.Namespaces, slices.Collect(maps.Keys(w.ownFDs))...)
	}
	for _, f := range files {
		in := &p.Namespaces
		if f.TID == p.PID {
			if p.PID == w.self {
				continue // done, or a discovery's
			}
			f.TID = 0
		} else if task := p.task(f.TID); task != nil {
			in = &task.Namespaces
		} else {
			continue
		}
		if !w.shotFile(p, f, in) {
			w.lookAt(p, f.TID, in, f.FD)
		}
	}
}

func (p *Process) task(tid int) *Task {
	for _, t := range p.Tasks {
		if t.TID == tid {
			return t
		}
	}
	return nil
}

// shotFile is false if a descriptor has to be looked at.
func (w *worker) shotFile(p *Process, f taskiter.File, in *NamespacesSet) bool {
	reference := Reference{Kind: ByFD, PID: p.PID, TID: f.TID, FD: f.FD}
	kind := f.Type
	switch f.Kind {
	case taskiter.Held:
	case taskiter.Socket:
		if !w.opts.has(Sockets) {
			return true
		}
		if w.opts.has(InFlight) {
			return false
		}
		reference.Kind, kind = BySocket, species.CLONE_NEWNET
	default:
		return !w.opts.has(TunTap)
	}
	n := w.withSerial(f.Namespace, kind)
	if n == nil {
		return false
	}
	if reference.Kind == ByFD || n != in[netSlot] {
		w.refer(n, reference)
	}
	return true
}

// lookAt looks at descriptors of a process, or of one of its threads, unless another has its number by now.
func (w *worker) lookAt(p *Process, tid int, in *NamespacesSet, files ...int) {
	number := cmp.Or(tid, p.PID)
	dir, errno := w.openDir(FDs, w.proc, w.number.Number(number)) // threads are not listed there, but are there
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	pidfd, errno := raw.OpenPidfd(number, tid != 0)
	if w.noted(FDs, errno) != 0 {
		return
	}
	defer raw.CloseNoWait(pidfd)
	start := p.Start
	if task := p.task(tid); task != nil {
		start = task.Start
	}
	fds, errno := w.openDir(FDs, dir, &fdPath)
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(fds)
	if !w.started(start, dir) {
		return
	}
	s := subject{pid: p.PID, tid: tid, dir: dir, pidfd: pidfd}
	look := descriptorLook{worker: w, subject: s, in: in, dir: fds, sockets: w.opts.has(Sockets)}
	for _, fd := range files {
		_ = look.at(fd)
	}
}

// started says whether dir, in /proc, is of a process or thread with that start, and not of another with its number.
func (w *worker) started(start uint64, dir int) bool {
	text, errno := w.quick(Processes, dir, &statPath)
	stat, ok := procfs.ParseStat(text)
	return errno == 0 && ok && stat.Start == start
}
