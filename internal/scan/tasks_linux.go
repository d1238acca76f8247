package scan

import (
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
)

// tasks looks at the threads of a process but the one that has its PID.
func (w *worker) tasks(p *facts.Process, d *draft, s subject) {
	var errno syscall.Errno
	if w.tids, errno = w.listNumbers(facts.Tasks, w.tids[:0], s.dir, &taskPath); errno != 0 {
		return
	}
	dir, errno := w.openDir(facts.Tasks, s.dir, &taskPath)
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	p.Tasks, d.tasks = make([]facts.Task, 0, len(w.tids)), make([]taskDraft, 0, len(w.tids))
	for _, tid := range w.tids {
		if tid == s.pid {
			continue
		}
		task, texts := facts.Task{TID: tid}, taskDraft{}
		if !p.State.Zombie() && w.likeProcess(p, &task, &texts, s) || w.task(&task, &texts, s, dir) {
			p.Tasks, d.tasks = append(p.Tasks, task), append(d.tasks, texts)
		}
	}
}

// likeProcess takes the short way with a thread that is like its process, as nearly all are: by pidfd (Linux 6.13), and
// without its name and start. It is false if the long way has to be taken.
func (w *worker) likeProcess(p *facts.Process, t *facts.Task, texts *taskDraft, process subject) bool {
	opts := &w.scan.opts
	if process.pidfd == raw.NoFD || !w.scan.pidfds.Load() || !w.scan.infos.Load() || opts.has(facts.Details) {
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
	var in seen
	s := subject{pid: process.pid, tid: t.TID, dir: process.dir, pidfd: pidfd}
	if w.namespaces(&in, s, p.State) != 0 {
		return false
	}
	links := in.links()
	if *links.In() != *p.Namespaces.In() || links[facts.PIDForChildren] != 0 || links[facts.TimeForChildren] != 0 ||
		!w.translate(in[facts.PID], t.TID, &texts.tids) {
		return false
	}
	if opts.has(facts.FDs) {
		if shares, errno := w.sharesFDs(process.pid, t.TID); errno != 0 || !shares {
			return false
		}
	}
	t.Namespaces = links
	return true
}

func isThreadOf(pidfd, pid int) bool {
	var info raw.ProcessInfo
	return raw.PidfdInfo(pidfd, &info) == 0 && info.TGID == pid
}

// task looks at a thread of a process in whose task directory it is, and reports whether it is still there.
func (w *worker) task(t *facts.Task, texts *taskDraft, process subject, dir int) bool {
	own, errno := w.openDir(facts.Tasks, dir, w.numbered(t.TID))
	if errno != 0 {
		return false
	}
	defer raw.CloseNoWait(own)
	s := subject{pid: process.pid, tid: t.TID, dir: own, pidfd: raw.NoFD}
	if process.pidfd != raw.NoFD && w.scan.pidfds.Load() {
		if s.pidfd, errno = raw.OpenPidfd(t.TID, true); errno == 0 {
			defer raw.CloseNoWait(s.pidfd)
		}
	}
	// As with processes: own is of a thread of this process, and when it still answers, the pidfd is of it.
	stat, errno := w.stat(facts.Tasks, s.dir)
	if errno != 0 {
		return false
	}
	t.Start, texts.name, texts.tids = stat.Start, w.keep(stat.Name), span{}
	var in seen
	switch errno := w.namespaces(&in, s, facts.State(stat.State)); errno {
	case 0:
	case syscall.ESRCH:
		return false
	case syscall.ETIMEDOUT: // there is a Problem
		return true
	default:
		w.problem(facts.Problem{Source: facts.Tasks, PID: s.pid, TID: s.tid, Errno: errno})
		return true
	}
	t.Namespaces = in.links()
	w.referChildren(&in, s.pid, s.tid)
	w.innerPIDs(facts.Tasks, in[facts.PID], s, &texts.tids)
	if w.scan.opts.has(facts.FDs) {
		w.privateTable(s, &t.Namespaces)
	}
	return true
}

// privateTable looks at the descriptors of a thread that has a table of its own: unshare(2) with CLONE_FILES.
func (w *worker) privateTable(s subject, in *facts.Links) {
	if w.scan.proc.own {
		if shares, errno := w.sharesFDs(s.pid, s.tid); errno == 0 && shares || errno == syscall.ESRCH {
			return
		}
	}
	w.descriptors(s, in, nil)
}
