package scan

import (
	"cmp"
	"slices"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// process takes a process from the snapshot or looks at it.
func (w *worker) process(i int) {
	found := len(w.found)
	w.about(w.scan.pids[i], -1)
	if w.scan.snapshot == nil || !w.takeProcess(i) {
		w.found = w.found[:found]
		w.walk(i)
	}
}

// walk looks at one process in /proc. If it ends meanwhile, it was not there.
func (w *worker) walk(i int) {
	p, d, pid := &w.scan.rows[i], &w.scan.drafts[i], w.scan.pids[i]
	*p, *d = facts.Process{}, draft{}
	w.about(pid, -1)
	s := unopened(pid, 0)
	defer s.close()
	stat, errno := w.open(facts.Processes, &s, w.scan.proc.dir, w.scan.proc.own)
	switch errno {
	case 0:
	case syscall.ENOENT, syscall.ESRCH, syscall.ETIMEDOUT: // gone; of the last there is a Problem
		return
	default: // EPERM: a /proc with hidepid=1
		w.problem(facts.Problem{Source: facts.Processes, PID: pid, Errno: errno})
		return
	}
	w.identify(p, d, s, &stat)
	var in seen
	errno = w.namespaces(&in, s, p.State)
	if errno == syscall.ESRCH && !p.State.Zombie() {
		if p.Threads <= 1 {
			return
		}
		p.State = 'Z' // or about to be
	}
	if errno != 0 && errno != syscall.ESRCH && errno != syscall.ETIMEDOUT {
		w.problem(facts.Problem{Source: facts.Processes, PID: pid, Errno: errno})
	}
	w.about(pid, p.UID)
	p.PID = pid
	w.setNamespaces(p, &in)
	if n := in[facts.PID]; n != nil && p.PIDs == nil {
		p.PIDs = w.innerPIDs(facts.Processes, n, s)
	}
	w.details(p, d, s, errno == 0)
}

// open opens a process or thread, for close: its directory, which is in the directory below, and a pidfd if wanted. The
// directory stays that of this process. If it still answers after the pidfd was opened, that is of the same process.
// ESRCH: it is gone.
func (w *worker) open(source facts.Sources, s *subject, below int, pidfd bool) (stat procfs.Stat, errno syscall.Errno) {
	number := cmp.Or(s.tid, s.pid)
	if s.dir, errno = w.openDir(source, below, w.numbered(number)); errno != 0 {
		return stat, errno
	}
	if pidfd {
		s.pidfd, errno = raw.OpenPidfd(number, s.tid != 0)
		_ = w.checked(source, errno)
	}
	return w.stat(source, s.dir)
}

// identify notes what tells one process from another, and its credentials.
func (w *worker) identify(p *facts.Process, d *draft, s subject, stat *procfs.Stat) {
	d.worker = w
	*p = facts.Process{PPID: stat.PPID, Name: w.keep(stat.Name), State: facts.State(stat.State), Kernel: stat.KernelThread, Start: stat.Start,
		Threads: stat.Threads, UID: -1, GID: -1}
	if d.old = w.scan.old.process(stat.PID, stat.Start, stat.Name); d.old != nil && !w.scan.infos.Load() {
		p.UID, p.GID = d.old.UID, d.old.GID
	} else {
		w.credentials(p, d, s)
	}
}

// credentials asks the pidfd for credentials and cgroup; before Linux 6.13 it reads the credentials.
func (w *worker) credentials(p *facts.Process, d *draft, s subject) {
	if s.pidfd != raw.NoFD && w.scan.infos.Load() {
		var info raw.ProcessInfo
		errno := raw.PidfdInfo(s.pidfd, &info)
		if errno == 0 {
			p.UID, p.GID = int(int32(info.UID)), int(int32(info.GID))
			if w.scan.proc.unified {
				d.groups = info.CgroupID
			}
			return
		}
		if sys.IsMissing(errno) || errno == syscall.EINVAL {
			w.scan.infos.Store(false)
		}
	}
	if status, ok := w.status(facts.Processes, s); ok {
		p.UID, p.GID, p.PIDs = int(int32(status.UID)), int(int32(status.GID)), status.PIDs
	}
}

// status reads credentials and PIDs from text, which is expensive.
func (w *worker) status(source facts.Sources, s subject) (procfs.Status, bool) {
	text, errno := w.short(source, s.dir, &statusPath)
	start := len(w.numbers)
	status, ok := procfs.ParseStatus(text, w.numbers)
	if errno != 0 || !ok {
		return procfs.Status{}, false
	}
	w.numbers = status.PIDs
	status.PIDs = slices.Clip(w.numbers[start:])
	return status, true
}

// setNamespaces notes which namespaces a process is in, and that it shows the mounts of its mount namespace.
func (w *worker) setNamespaces(p *facts.Process, in *seen) {
	p.Namespaces = w.links(in, p.PID, 0)
	if n := in[facts.Mnt]; n != nil && !p.Kernel && !p.State.Zombie() {
		w.scan.table.member(n, p.PID)
	}
}

// details looks at what else a process has, as far as it lets us.
func (w *worker) details(p *facts.Process, d *draft, s subject, readable bool) {
	opts := &w.scan.opts
	if !p.State.Zombie() {
		if opts.has(facts.Details) && !p.Kernel {
			w.commandLine(d, s.dir, &cmdlinePath)
		}
		w.findCgroup(d, s, opts.has(facts.Details))
		if !readable {
			return
		}
		if opts.has(facts.FDs) && !p.Kernel {
			p.FDs = w.descriptors(s, &p.Namespaces, d.old)
		}
	}
	if opts.has(facts.Tasks) && p.Threads > 1 { // which go on after the first has ended
		w.tasks(p, s)
	}
}

// commandLine reads a command line that the last result does not have, and reports whether it has.
func (w *worker) commandLine(d *draft, dir int, path *raw.Path) bool {
	if d.old != nil && d.old.Cmdline != nil {
		return false
	}
	text, errno := w.short(facts.Details, dir, path)
	if errno == 0 {
		d.cmdline = w.keep(text)
	}
	return errno == 0
}

// innerPIDs finds the PIDs of a process or thread, from that in the PID namespace of the proc file system to that in n.
func (w *worker) innerPIDs(source facts.Sources, n *entry, s subject) []int {
	if pids := w.translate(n, cmp.Or(s.tid, s.pid)); pids != nil {
		return pids
	}
	status, _ := w.status(source, s)
	return status.PIDs
}

// translate asks PID namespaces, from that of the process to the outermost (Linux 6.11). It returns nil if one does not say.
func (w *worker) translate(n *entry, pid int) []int {
	own, start := w.scan.ownPIDNamespace(), len(w.numbers)
	if own == nil {
		return nil
	}
	for ; n != nil && n != own; n = n.parent {
		inner, err := sys.PIDIn(w.scan.table.fd(n), pid)
		if err != nil { // or no descriptor is held
			break
		}
		w.numbers = append(w.numbers, inner)
	}
	if n != own {
		w.numbers = w.numbers[:start]
		return nil
	}
	w.numbers = append(w.numbers, pid)
	slices.Reverse(w.numbers[start:])
	return slices.Clip(w.numbers[start:])
}

// tasks looks at the threads of a process but the one that has its PID.
func (w *worker) tasks(p *facts.Process, s subject) {
	var errno syscall.Errno
	if w.tids, errno = w.listNumbers(facts.Tasks, w.tids[:0], s.dir, &taskPath); errno != 0 {
		return
	}
	dir, errno := w.openDir(facts.Tasks, s.dir, &taskPath)
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	p.Tasks = make([]facts.Task, 0, len(w.tids))
	for _, tid := range w.tids {
		if tid == s.pid {
			continue
		}
		if task := (facts.Task{TID: tid}); w.task(&task, s, dir) {
			p.Tasks = append(p.Tasks, task)
		}
	}
}

// task looks at a thread of a process in whose task directory it is, and reports whether it is still there.
func (w *worker) task(t *facts.Task, process subject, dir int) bool {
	s := unopened(process.pid, t.TID)
	defer s.close()
	stat, errno := w.open(facts.Tasks, &s, dir, process.pidfd != raw.NoFD && w.scan.pidfds.Load())
	if errno != 0 {
		return false
	}
	t.Start, t.Name = stat.Start, w.keep(stat.Name)
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
	t.Namespaces = w.links(&in, s.pid, s.tid)
	t.TIDs = w.innerPIDs(facts.Tasks, in[facts.PID], s)
	if w.scan.opts.has(facts.FDs) {
		w.privateTable(s, &t.Namespaces)
	}
	return true
}

// privateTable looks at the descriptors of a thread that has a table of its own: unshare(2) with CLONE_FILES.
func (w *worker) privateTable(s subject, in *facts.Links) {
	if w.scan.proc.own {
		shares, errno := watch(w, facts.Tasks, func(*caller) (bool, syscall.Errno) { return raw.SharesFDs(s.pid, s.tid) })
		if errno == 0 && shares || errno == syscall.ESRCH {
			return
		}
	}
	w.descriptors(s, in, nil)
}
