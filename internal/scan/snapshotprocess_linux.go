package scan

import (
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
		w.snapshotDetails(p, d)
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
		is := t.Links[l.at]
		if is.Serial == 0 {
			continue
		}
		n := w.withSerial(l.at, is.Serial)
		if n == nil {
			n = w.takeNamespace(is, l.kind)
		}
		if n == nil {
			return false
		}
		in[l.at] = n
	}
	return true
}

// takeNamespace returns a namespace of the snapshot: if it was not seen before, as the last result has it, or as the
// kernel describes it if its owner is known, or it is opened; nil if that is not possible.
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

// snapshotDetails reads what only /proc has.
func (w *worker) snapshotDetails(p *facts.Process, d *draft) {
	s := w.scan
	if s.opts.has(facts.Details) {
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
	w.findCgroup(d, subject{pid: p.PID, dir: dir, pidfd: raw.NoFD}, s.opts.has(facts.Details))
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
		p.Tasks = append(p.Tasks, facts.Task{TID: int(other.tid), Name: w.keep(record.Name), Start: ticks(record.Start),
			Namespaces: w.links(&in, p.PID, int(other.tid)), TIDs: w.keepNumbers(record)})
	}
	return true
}

// takeFiles takes descriptors that lead to namespaces from the snapshot, and looks in /proc if that does not say enough.
func (w *worker) takeFiles(p *facts.Process, files []taskiter.File) {
	self := p.PID == w.scan.proc.self
	ofProcess := descriptorLook{worker: w, of: unopened(p.PID, 0), in: &p.Namespaces}
	if self && len(w.scan.ownFDs) != 0 {
		ofProcess.again(p.Start, slices.Collect(maps.Keys(w.scan.ownFDs))...)
	}
	for _, f := range files {
		look, start := ofProcess, p.Start
		if f.TID != p.PID {
			at := slices.IndexFunc(p.Tasks, func(t facts.Task) bool { return t.TID == f.TID })
			if at < 0 {
				continue
			}
			look.of.tid, look.in, start = f.TID, &p.Tasks[at].Namespaces, p.Tasks[at].Start
		} else if self {
			continue // done, or a discovery's
		}
		if !look.take(&f) {
			look.again(start, f.FD)
		}
	}
}

// take takes a descriptor from the snapshot. It is false if that has to be looked at.
func (l *descriptorLook) take(f *taskiter.File) bool {
	opts, kind := &l.worker.scan.opts, f.Type
	switch f.Kind {
	case taskiter.Held:
	case taskiter.Socket:
		if !opts.has(facts.Sockets) {
			return true
		}
		if opts.has(facts.InFlight) {
			return false
		}
		kind = species.CLONE_NEWNET
	default:
		return !opts.has(facts.TunTap)
	}
	n := l.worker.takeNamespace(f.Namespace, kind)
	switch {
	case n == nil:
		return false
	case f.Kind == taskiter.Held:
		l.refer(n.ref, facts.ByFD, f.FD)
	default:
		l.referSocket(n.ref, f.FD)
	}
	return true
}

// again looks at descriptors in /proc, unless another process or thread has the number of this one by now.
func (l descriptorLook) again(start uint64, fds ...int) {
	defer l.of.close()
	// threads are not listed there, but are there
	stat, errno := l.worker.open(facts.FDs, &l.of, l.worker.scan.proc.dir, true)
	if errno != 0 || stat.Start != start || l.of.pidfd == raw.NoFD {
		return
	}
	if l.dir, errno = l.worker.openDir(facts.FDs, l.of.dir, &fdPath); errno != 0 {
		return
	}
	defer raw.CloseNoWait(l.dir)
	for _, fd := range fds {
		_ = l.at(fd)
	}
}
