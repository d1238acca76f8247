package discover

import (
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
)

// tasks looks at the threads of a process but the one that has its PID.
func (w *worker) tasks(p *Process, t *texts, s subject) {
	var errno syscall.Errno
	if w.tids, errno = w.listNumbers(Tasks, w.tids[:0], s.dir, &taskPath); errno != 0 {
		return
	}
	dir, errno := w.openDir(Tasks, s.dir, &taskPath)
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	tasks := make([]Task, 0, len(w.tids))
	for _, tid := range w.tids {
		if tid == s.pid {
			continue
		}
		tasks = append(tasks, Task{TID: tid})
		if !zombie(p.State) && w.likeProcess(p, &tasks[len(tasks)-1], s, t) {
			continue
		}
		text, ok := w.task(&tasks[len(tasks)-1], s, dir)
		if !ok {
			tasks = tasks[:len(tasks)-1]
			continue
		}
		t.tasks = append(t.tasks, text)
	}
	p.Tasks = make([]*Task, len(tasks))
	for i := range tasks {
		p.Tasks[i] = &tasks[i]
	}
}

// survivors looks at the threads of a process whose first thread has ended: a zombie until they have, too.
func (w *worker) survivors(p *Process, t *texts, s subject) {
	if w.opts.has(Tasks) && p.Threads > 1 {
		w.tasks(p, t, s)
	}
}

// likeProcess takes the short way with a thread that is like its process, as nearly all are: by pidfd (6.9, 6.13), and
// without its name and start. It is false if the long way has to be taken.
func (w *worker) likeProcess(p *Process, t *Task, process subject, texts *texts) bool {
	if process.pidfd == raw.NoFD || !w.pidfds.Load() || !w.infos.Load() || w.opts.has(Details) {
		return false
	}
	pidfd, errno := raw.OpenPidfd(t.TID, true)
	if errno != 0 {
		return false
	}
	defer raw.CloseNoWait(pidfd)
	if !isThreadOf(pidfd, process.pid) {
		return false
	}
	var seen [allLinks]*Namespace
	s := subject{pid: process.pid, tid: t.TID, dir: process.dir, pidfd: pidfd}
	if w.namespaces(&seen, s, p.State) != 0 || [8]*Namespace(seen[:8]) != p.Namespaces {
		return false
	}
	var tids span
	if pid, time := differ(&seen); pid != nil || time != nil || !w.translate(seen[pidSlot], t.TID, &tids) {
		return false
	}
	if w.opts.has(FDs) {
		if shares, errno := w.sharesFDs(process.pid, t.TID); errno != 0 || !shares {
			return false
		}
	}
	t.Namespaces = p.Namespaces
	texts.tasks = append(texts.tasks, taskTexts{tids: tids})
	return true
}

func isThreadOf(pidfd, pid int) bool {
	var info raw.ProcessInfo
	return raw.PidfdInfo(pidfd, &info) == 0 && info.TGID == pid
}

// task looks at a thread of a process in whose task directory it is.
func (w *worker) task(t *Task, process subject, dir int) (texts taskTexts, ok bool) {
	own, errno := w.openDir(Tasks, dir, w.number.Number(t.TID))
	if errno != 0 {
		return texts, false
	}
	defer raw.CloseNoWait(own)
	s := subject{pid: process.pid, tid: t.TID, dir: own, pidfd: raw.NoFD}
	if process.pidfd != raw.NoFD && w.pidfds.Load() {
		if s.pidfd, errno = raw.OpenPidfd(t.TID, true); errno == 0 {
			defer raw.CloseNoWait(s.pidfd)
		}
	}
	// As with processes: own is of a thread of this process, and when it still answers, the pidfd is of it.
	stat, ok := w.taskStat(s)
	if !ok {
		return texts, false
	}
	t.Start, texts.name = stat.Start, w.keep(stat.Name)
	var seen [allLinks]*Namespace
	switch errno := w.namespaces(&seen, s, stat.State); errno {
	case 0:
	case syscall.ESRCH:
		return texts, false
	case syscall.ETIMEDOUT: // there is a Problem
		return texts, true
	default:
		w.problem(Problem{Source: Tasks, PID: s.pid, TID: s.tid, Errno: errno})
		return texts, true
	}
	copy(t.Namespaces[:], seen[:])
	t.PIDForChildren, t.TimeForChildren = differ(&seen)
	w.pending(t.PIDForChildren, t.TimeForChildren, s)
	w.innerTIDs(t, &texts, s)
	if w.opts.has(FDs) {
		w.privateTable(s, process.pid, &t.Namespaces)
	}
	return texts, true
}

func (w *worker) taskStat(s subject) (procfs.Stat, bool) {
	text, errno := w.quick(Tasks, s.dir, &statPath)
	if errno != 0 {
		return procfs.Stat{}, false
	}
	return procfs.ParseStat(text)
}

func (w *worker) innerTIDs(t *Task, texts *taskTexts, s subject) {
	n := t.Namespaces[pidSlot]
	if n != nil && w.own && w.translate(n, t.TID, &texts.tids) {
		return
	}
	text, errno := w.quick(Tasks, s.dir, &statusPath)
	if errno != 0 {
		return
	}
	start := len(w.numbers)
	if status, ok := procfs.ParseStatus(text, w.numbers); ok {
		w.numbers = status.PIDs
		texts.tids = span{uint32(start), uint32(len(w.numbers))}
	}
}

// privateTable looks at the descriptors of a thread that has a table of its own: unshare(2) with CLONE_FILES.
func (w *worker) privateTable(s subject, pid int, in *NamespacesSet) {
	if w.own {
		if shares, errno := w.sharesFDs(pid, s.tid); errno == 0 && shares || errno == syscall.ESRCH {
			return
		}
	}
	w.descriptors(s, in, nil)
}
