package discover

import (
	"cmp"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/species"
)

// snapshot is what the kernel has told of all threads and descriptors at once. Processes that are in it need not be
// looked at in /proc.
type snapshot struct {
	*taskiter.Snapshot
	tasks []numberedTask
	files []taskiter.File
}

// numberedTask is where the snapshot has a thread.
type numberedTask struct{ pid, tid, index int }

// worthASnapshot is the number of processes from which on it costs less to read the kernel's types and have it check two
// programs than to read /proc. That is done once, so a program that discovers a second time does it in any case.
const worthASnapshot = 160

// discoveries is how many this program has made.
var discoveries atomic.Int64

// takeSnapshot asks the kernel for one before the discovery has any descriptors of namespaces. It does without if that
// fails, if the proc file system is not of the same processes, or if namespaces cannot be opened by what it tells of them.
func (s *scan) takeSnapshot() {
	if s.opts.NoSnapshot || len(s.pids) == 0 || discoveries.Add(1) == 1 && len(s.pids) < worthASnapshot {
		return
	}
	all, err := taskiter.Read(s.opts.has(InFlight))
	if err != nil {
		return
	}
	shot := &snapshot{Snapshot: all, tasks: make([]numberedTask, 0, all.Len())}
	var t taskiter.Task
	var own [taskiter.Links]taskiter.Namespace
	for i := range all.Len() {
		if !all.Task(i, &t) {
			continue
		}
		shot.tasks = append(shot.tasks, numberedTask{t.TGID, t.TID, i})
		if t.TID == raw.OwnPID() {
			s.own = s.isOwnFor(&t) && s.sameClock(&t)
			own = t.Links
		}
	}
	if !s.own || !shot.opens(&own) {
		return
	}
	slices.SortFunc(shot.tasks, func(a, b numberedTask) int { return cmp.Or(a.pid-b.pid, a.tid-b.tid) })
	var fds []int
	all.Files(func(f taskiter.File) {
		shot.files = append(shot.files, f)
		if f.TID == s.self {
			fds = append(fds, f.FD)
		}
	})
	if fds != nil {
		s.lookAtSelf(s.reader, fds...)
	}
	slices.SortFunc(shot.files, func(a, b taskiter.File) int { return cmp.Or(a.TGID-b.TGID, a.TID-b.TID, a.FD-b.FD) })
	s.snapshot, s.table.serials, s.table.handles = shot, true, true
	s.addNewcomers()
}

// opens says whether namespaces can be opened by their file handles. It tries some that are not our own: newer kernels than
// 6.18 call these stale outside the initial PID namespace.
func (s *snapshot) opens(own *[taskiter.Links]taskiter.Namespace) bool {
	uncounted.RLock()
	defer uncounted.RUnlock()
	const enough = 8 // some may be gone
	var t taskiter.Task
	tries := 0
	for i := 0; i < s.Len() && tries < enough; i++ {
		if !s.Task(i, &t) {
			continue
		}
		for slot, is := range t.Links[:len(slots)] {
			if is.Serial == 0 || is.Serial == own[slot].Serial {
				continue
			}
			fd, errno := sys.OpenHandle(raw.Handle{Serial: is.Serial, Type: slots[slot], Inode: is.Inode})
			if errno == 0 {
				raw.Close(fd)
				return true
			}
			tries++
		}
	}
	return tries == 0
}

// isOwnFor says whether the proc file system is of our PID namespace, given our own record: so it is if only there we
// have the PID that it calls us by.
func (s *scan) isOwnFor(t *taskiter.Task) bool {
	for level, number := range t.Numbers {
		if number == s.self && level != t.Level {
			return s.isOwn()
		}
	}
	return t.TID == s.self
}

// ticks turns nanoseconds into clock ticks, of which the kernel shows user space 100 in a second.
func ticks(nanoseconds uint64) uint64 { return nanoseconds / 10_000_000 }

// sameClock says whether /proc counts from boot like the kernel. In another time namespace than the initial one it need
// not.
func (s *scan) sameClock(t *taskiter.Task) bool {
	if species.IsInitialInode(uint64(t.Links[timeSlot].Inode)) {
		return true
	}
	path := raw.NewPath("self/stat")
	text, errno := s.reader.Short(s.proc, &path)
	stat, ok := procfs.ParseStat(text)
	return errno == 0 && ok && stat.Start == ticks(t.Start)
}

// addNewcomers adds the processes that have come since /proc was listed, or that it does not show us. It may in turn
// have some that the snapshot does not show.
func (s *scan) addNewcomers() {
	listed := len(s.pids)
	for _, t := range s.snapshot.tasks {
		if t.tid != t.pid {
			continue
		}
		if _, found := slices.BinarySearch(s.pids[:listed], t.pid); !found {
			s.pids = append(s.pids, t.pid)
		}
	}
}

// of returns the threads of a process, and the descriptors.
func (s *snapshot) of(pid int) (tasks []numberedTask, files []taskiter.File) {
	first, _ := slices.BinarySearchFunc(s.tasks, pid, func(t numberedTask, pid int) int { return t.pid - pid })
	end := first
	for end < len(s.tasks) && s.tasks[end].pid == pid {
		end++
	}
	firstFile, _ := slices.BinarySearchFunc(s.files, pid, func(f taskiter.File, pid int) int { return f.TGID - pid })
	endFile := firstFile
	for endFile < len(s.files) && s.files[endFile].TGID == pid {
		endFile++
	}
	return s.tasks[first:end], s.files[firstFile:endFile]
}

// shot takes a process from the snapshot. It is false if it has to be looked at in /proc: it is not in there, or a kernel
// thread, of whose name there is only a part; or a namespace of it could not be opened, because it is gone by now or we
// may not.
func (w *worker) shot(i int) bool {
	if w.snapshot == nil {
		return false
	}
	found := len(w.found)
	if w.shotProcess(i) {
		return true
	}
	w.found, w.targets = w.found[:found], w.targets[:found]
	w.processes[i], w.texts[i] = Process{}, texts{}
	return false
}

func (w *worker) shotProcess(i int) bool {
	pid := w.pids[i]
	tasks, files := w.snapshot.of(pid)
	at := slices.IndexFunc(tasks, func(t numberedTask) bool { return t.tid == pid })
	if at < 0 {
		return false
	}
	record := &w.record
	var seen [allLinks]*Namespace
	if !w.snapshot.Task(tasks[at].index, record) || record.Kernel || !w.shotNamespaces(&seen, record) {
		return false
	}
	p, t := &w.processes[i], &w.texts[i]
	*p = Process{PID: pid, PPID: record.Parent, State: record.State, Start: ticks(record.Start), Threads: record.Threads,
		UID: record.UID, GID: record.GID, groups: record.Groups}
	*t = texts{worker: w, start: record.Start, name: w.keep(record.Name), pids: w.keepNumbers(record), kept: w.old.process(pid, p.Start, record.Name)}
	w.about(pid, p.UID)
	p.setNamespaces(&seen)
	w.pending(p.PIDForChildren, p.TimeForChildren, subject{pid: pid})
	w.enter(p)
	if w.opts.has(Tasks) && (len(tasks) < p.Threads || len(tasks) > 1 && !w.shotTasks(p, t, tasks)) {
		return false
	}
	if !zombie(p.State) {
		w.shotDetails(p, t)
	}
	if w.opts.has(FDs) {
		w.shotFiles(p, files)
	}
	return true
}

// keepNumbers keeps those from our PID namespace on.
func (w *worker) keepNumbers(t *taskiter.Task) span {
	start := len(w.numbers)
	w.numbers = append(w.numbers, t.Numbers[min(t.Level, len(t.Numbers)):]...)
	return span{uint32(start), uint32(len(w.numbers))}
}

// shotNamespaces finds the namespaces of a thread. It is false if one of them cannot be had.
func (w *worker) shotNamespaces(seen *[allLinks]*Namespace, t *taskiter.Task) bool {
	for i := range w.links {
		l := &w.links[i]
		if is := t.Links[l.slot]; is.Serial != 0 {
			if n := w.last[l.slot]; n != nil && n.Serial == is.Serial {
				seen[l.slot] = n
				continue
			}
			n := w.withSerial(is, l.kind)
			if n == nil {
				return false
			}
			w.last[l.slot], seen[l.slot] = n, n
		}
	}
	return true
}

// withSerial returns the namespace with that 64-bit ID. If it was not seen before, it is taken from the last result, or
// believed if its owner is known, or opened; nil if that is not possible.
func (w *worker) withSerial(is taskiter.Namespace, kind species.NamespaceType) *Namespace {
	if n := w.table.withSerial(is.Serial); n != nil {
		return n
	}
	if old := w.old.namespace(is.Serial); old != nil {
		return w.table.takeOver(old)
	}
	if is.Owner != 0 {
		if n := w.table.believe(is, kind); n != nil {
			return n
		}
	}
	n, _ := w.table.open(kind, func() (int, syscall.Errno) {
		return sys.OpenHandle(raw.Handle{Serial: is.Serial, Type: kind, Inode: is.Inode})
	})
	return n
}

// shotDetails reads what only /proc knows, of those that lead somewhere or if it is wanted.
func (w *worker) shotDetails(p *Process, t *texts) {
	leads := w.opts.has(Details) || w.first(p)
	if leads && (t.kept == nil || t.kept.Cmdline == nil) {
		if text, errno := w.short(Details, w.proc, w.name.Below(p.PID, &cmdlinePath)); errno == 0 {
			t.cmdline, t.unconfirmed = w.keep(text), true
		}
	}
	if t.cgroup = w.groups[p.groups].cgroup; t.cgroup != nil || !w.opts.has(Cgroups) {
		return
	}
	dir, errno := w.openDir(Cgroups, w.proc, w.number.Number(p.PID))
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	w.lookAtCgroup(p, t, subject{pid: p.PID, dir: dir, pidfd: raw.NoFD}, leads)
	t.unconfirmed = true
}

// shotTasks takes the other threads of a process from the snapshot. It is false if one of them cannot be had.
func (w *worker) shotTasks(p *Process, t *texts, from []numberedTask) bool {
	tasks := make([]Task, 0, len(from)-1)
	for _, other := range from {
		record := &w.record
		var seen [allLinks]*Namespace
		if other.tid == p.PID || !w.snapshot.Task(other.index, record) || zombie(record.State) {
			continue
		}
		if !w.shotNamespaces(&seen, record) {
			return false
		}
		task := Task{TID: other.tid, Start: ticks(record.Start), Namespaces: NamespacesSet(seen[:len(NamespacesSet{})])}
		task.PIDForChildren, task.TimeForChildren = differ(&seen)
		w.pending(task.PIDForChildren, task.TimeForChildren, subject{pid: p.PID, tid: task.TID})
		t.tasks = append(t.tasks, taskTexts{name: w.keep(record.Name), tids: w.keepNumbers(record)})
		tasks = append(tasks, task)
	}
	p.Tasks = make([]*Task, len(tasks))
	for i := range tasks {
		p.Tasks[i] = &tasks[i]
	}
	return true
}
