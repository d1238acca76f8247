package scan

import (
	"cmp"
	"maps"
	"slices"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/species"
)

// takeProcess takes a process from the snapshot. It is false for kernel threads, whose names are cut off there, for what is
// not in there, and if a namespace cannot be opened.
func (w *worker) takeProcess(i int) bool {
	s, pid := w.scan, w.scan.pids[i]
	tasks, files := s.snapshot.of(pid)
	at := slices.IndexFunc(tasks, func(t numberedTask) bool { return int(t.tid) == pid })
	if at < 0 {
		return false
	}
	record := &w.record
	var in seen
	if !s.snapshot.records.Task(int(tasks[at].index), record) || record.Kernel || !w.takeNamespaces(&in, record) {
		return false
	}
	p, d := &s.rows[i], &s.drafts[i]
	*p = facts.Process{PID: pid, PPID: record.Parent, State: facts.State(record.State), Start: ticks(record.Start), Threads: record.Threads,
		Name: w.keep(record.Name), UID: record.UID, GID: record.GID, PIDs: w.keepNumbers(record)}
	*d = draft{worker: w, start: record.Start, old: s.old.process(pid, p.Start, record.Name), groups: record.Groups}
	w.about(pid, p.UID)
	w.setNamespaces(p, &in)
	if s.opts.has(facts.Tasks) && (len(tasks) < p.Threads || len(tasks) > 1 && !w.takeTasks(p, tasks)) {
		return false
	}
	if !p.State.Zombie() {
		w.snapshotDetails(p, d, &in)
	}
	if s.opts.has(facts.FDs) {
		w.takeFiles(p, files)
	}
	return true
}

// keepNumbers keeps those from our PID namespace on.
func (w *worker) keepNumbers(t *taskiter.Task) []int {
	start := len(w.numbers)
	w.numbers = append(w.numbers, t.Numbers[min(t.Level, len(t.Numbers)):]...)
	return slices.Clip(w.numbers[start:])
}

// takeNamespaces finds the namespaces of a thread. It is false if one of them cannot be had.
func (w *worker) takeNamespaces(in *seen, t *taskiter.Task) bool {
	for i := range w.scan.links {
		l := &w.scan.links[i]
		if is := t.Links[l.at]; is.Serial != 0 {
			if n := w.last[l.at]; n != nil && n.serial == is.Serial {
				in[l.at] = n
				continue
			}
			n := w.takeNamespace(is, l.kind)
			if n == nil {
				return false
			}
			w.last[l.at], in[l.at] = n, n
		}
	}
	return true
}

// takeNamespace returns a namespace of the snapshot. If it was not seen before, it is as the last result has it, or as
// the kernel describes it if its owner is known, or it is opened; nil if that is not possible.
func (w *worker) takeNamespace(is taskiter.Namespace, kind species.NamespaceType) *entry {
	t := w.scan.table
	if n := t.withSerial(is.Serial); n != nil {
		return n
	}
	if p := w.scan.old; p != nil && p.serials[is.Serial] != nil {
		return t.remembered(p.facts, p.serials[is.Serial])
	}
	if is.Owner != 0 {
		if n := t.described(is, kind); n != nil {
			return n
		}
	}
	n, _ := t.open(kind, func() (int, syscall.Errno) {
		return sys.OpenHandle(raw.Handle{Serial: is.Serial, Type: kind, Inode: is.Inode})
	})
	return n
}

// snapshotDetails reads what only /proc has, of those that lead somewhere or if it is wanted.
func (w *worker) snapshotDetails(p *facts.Process, d *draft, in *seen) {
	s := w.scan
	leads := s.opts.has(facts.Details) || w.isFirst(p.PID, in)
	if leads {
		d.unconfirmed = w.commandLine(d, s.proc.dir, w.caller.name.Below(p.PID, &cmdlinePath))
	}
	if d.cgroup = w.groups[d.groups].cgroup; d.cgroup != nil || !s.opts.has(facts.Cgroups) {
		return
	}
	dir, errno := w.openProcess(facts.Cgroups, p.PID, p.UID)
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	w.findCgroup(d, subject{pid: p.PID, dir: dir, pidfd: raw.NoFD}, leads)
	d.unconfirmed = true
}

// takeTasks takes the other threads of a process from the snapshot. It is false if one of them cannot be had.
func (w *worker) takeTasks(p *facts.Process, from []numberedTask) bool {
	p.Tasks = make([]facts.Task, 0, len(from)-1)
	for _, other := range from {
		record := &w.record
		var in seen
		if int(other.tid) == p.PID || !w.scan.snapshot.records.Task(int(other.index), record) || facts.State(record.State).Zombie() {
			continue
		}
		if !w.takeNamespaces(&in, record) {
			return false
		}
		w.referChildren(&in, p.PID, int(other.tid))
		p.Tasks = append(p.Tasks, facts.Task{TID: int(other.tid), Name: w.keep(record.Name), Start: ticks(record.Start),
			Namespaces: in.links(), TIDs: w.keepNumbers(record)})
	}
	return true
}

// takeFiles takes descriptors that lead to namespaces from the snapshot, and looks in /proc if that does not say enough.
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
		} else {
			at := slices.IndexFunc(p.Tasks, func(t facts.Task) bool { return t.TID == f.TID })
			if at < 0 {
				continue
			}
			task = &p.Tasks[at]
		}
		if !w.takeFile(p, task, f) {
			w.lookAt(p, task, f.FD)
		}
	}
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
	defer raw.CloseNoWait(s.dir)
	s.pidfd, errno = raw.OpenPidfd(number, task != nil)
	if w.checked(facts.FDs, errno) != 0 {
		return
	}
	defer raw.CloseNoWait(s.pidfd)
	fds, errno := w.openDir(facts.FDs, s.dir, &fdPath)
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(fds)
	if !w.isSame(facts.Processes, start, s.dir) {
		return
	}
	look := descriptorLook{worker: w, of: s, in: in, dir: fds}
	for _, fd := range files {
		_ = look.at(fd)
	}
}
