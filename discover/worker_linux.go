package discover

import (
	"slices"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
)

// worker looks at a part of the processes and mounts. What it finds is put together at the end.
type worker struct {
	*scan
	*hands
	last     [allLinks]*Namespace // seen last, for each link: mostly it is the same again
	text     []byte               // names and command lines, one after the other
	numbers  []int                // PIDs, one after the other
	found    []Reference
	targets  []*Namespace // of found
	pins     []pin
	paths    map[string]string // of pins
	path     []byte
	problems []Problem
	sockets  map[uint64]*Namespace // that were looked at, and where they are
	tids     []int
	fds      []int
	cgroups  map[string]*cgroup
	groups   map[uint64]groups
	unknown  []unknownPin
	ids      []uint64
	buf      []byte
	record   taskiter.Task

	at, until int // pieces of the job that are to be done
	mark      mark
	watch     *watch
	asked     asked     // see about
	avoided   []Sources // that did not answer for what is being looked at
}

// hands are what a goroutine makes calls with. They stay with one that is given up.
type hands struct {
	read         *sys.ProcReader
	number, name raw.Path
}

// pin is a Reference by pin, of which there can be many.
type pin struct {
	to, in *Namespace
	path   string
	pid    int32
}

// span is a part of worker.text or worker.numbers.
type span struct{ start, end uint32 }

// texts are those of a process, in the text of the worker who looked at it.
type texts struct {
	worker        *worker
	name, cmdline span
	pids          span
	cgroup        *cgroup
	tasks         []taskTexts
	kept          *Process // of the last result, if it is the same process and program
	start         uint64   // of the process, in nanoseconds after boot; 0 without snapshot
	unconfirmed   bool     // see scan.confirm
}

type taskTexts struct {
	name, tids span
}

func newWorker(s *scan, share int) *worker {
	read := s.reader
	if len(s.workers) > 0 {
		read = sys.NewProcReader()
	}
	return &worker{
		scan:    s,
		hands:   &hands{read: read},
		sockets: map[uint64]*Namespace{},
		cgroups: map[string]*cgroup{},
		groups:  map[uint64]groups{},
		text:    make([]byte, 0, 1024+32*share),
		paths:   map[string]string{},
		watch:   &watch{},
	}
}

func (w *worker) keep(text []byte) span {
	start := len(w.text)
	w.text = append(w.text, text...)
	return span{uint32(start), uint32(len(w.text))}
}

// problem notes a Problem. That there are no descriptors left is said once of each process and source.
func (w *worker) problem(p Problem) {
	if !exhausted(p.Errno) || !slices.Contains(w.problems[min(w.mark.problems, len(w.problems)):], p) {
		w.problems = append(w.problems, p)
	}
}

var (
	statPath    = raw.NewPath("stat")
	statusPath  = raw.NewPath("status")
	cmdlinePath = raw.NewPath("cmdline")
	cgroupPath  = raw.NewPath("cgroup")
	fdPath      = raw.NewPath("fd")
	taskPath    = raw.NewPath("task")
)

// subject is a process or thread that is being looked at.
type subject struct {
	pid, tid int // tid is 0 for a process
	dir      int // in /proc
	pidfd    int // raw.NoFD without
}

// process takes a process from the snapshot or looks at it.
func (w *worker) process(i int) {
	w.processes[i], w.texts[i] = Process{}, texts{}
	w.about(w.pids[i], -1)
	if !w.shot(i) {
		w.walk(i)
	}
}

// walk looks at one process in /proc. If it ends meanwhile, it was not there.
func (w *worker) walk(i int) {
	p, pid := &w.processes[i], w.pids[i]
	w.about(pid, -1)
	dir, errno := w.openDir(Processes, w.proc, w.number.Number(pid))
	if errno != 0 {
		w.missing(pid, errno)
		return
	}
	defer raw.CloseNoWait(dir)
	s := subject{pid: pid, dir: dir, pidfd: raw.NoFD}
	if w.own {
		if s.pidfd, errno = raw.OpenPidfd(pid, false); errno == syscall.ESRCH {
			return
		}
		_ = w.noted(Processes, errno)
		defer raw.CloseNoWait(s.pidfd)
	}
	// dir is of a process, whoever has its PID; that it still answers shows that the pidfd is of the same one.
	if errno = w.identify(p, &w.texts[i], s); errno != 0 {
		w.missing(pid, errno)
		return
	}
	var seen [allLinks]*Namespace
	errno = w.namespaces(&seen, s, p.State)
	if errno == syscall.ESRCH && !zombie(p.State) {
		if p.Threads <= 1 {
			return
		}
		p.State = 'Z' // or about to be
	}
	if errno != 0 && errno != syscall.ESRCH && errno != syscall.ETIMEDOUT {
		w.problem(Problem{Source: Processes, PID: pid, Errno: errno})
	}
	w.about(pid, p.UID)
	p.PID = pid
	p.setNamespaces(&seen)
	w.pending(p.PIDForChildren, p.TimeForChildren, s)
	w.enter(p)
	w.innerPIDs(p, &w.texts[i], s)
	w.details(p, &w.texts[i], s, errno == 0)
}

func zombie(state byte) bool { return state == 'Z' || state == 'X' || state == 'x' }

// missing notes a process of which nothing can be seen, unless it is gone: EPERM is for a /proc with hidepid=1.
func (w *worker) missing(pid int, errno syscall.Errno) {
	if errno != syscall.ENOENT && errno != syscall.ESRCH && errno != syscall.ETIMEDOUT { // of the last there is one
		w.problem(Problem{Source: Processes, PID: pid, Errno: errno})
	}
}

// identify reads what tells one process from another. ESRCH: there is none any more.
func (w *worker) identify(p *Process, t *texts, s subject) syscall.Errno {
	text, errno := w.quick(Processes, s.dir, &statPath)
	if errno != 0 {
		return errno
	}
	stat, ok := procfs.ParseStat(text)
	if !ok {
		return syscall.ESRCH
	}
	t.worker = w
	t.name = w.keep(stat.Name)
	*p = Process{PPID: stat.PPID, State: stat.State, Kernel: stat.KernelThread, Start: stat.Start, Threads: stat.Threads, UID: -1, GID: -1}
	if t.kept = w.old.process(stat.PID, stat.Start, stat.Name); t.kept != nil && !w.infos.Load() {
		p.UID, p.GID = t.kept.UID, t.kept.GID
		return 0
	}
	w.credentials(p, t, s)
	return 0
}

// credentials asks the pidfd for credentials and cgroup; before 6.13 it reads the credentials.
func (w *worker) credentials(p *Process, t *texts, s subject) {
	if s.pidfd != raw.NoFD && w.infos.Load() {
		var info raw.ProcessInfo
		errno := raw.PidfdInfo(s.pidfd, &info)
		if errno == 0 {
			p.UID, p.GID = int(int32(info.UID)), int(int32(info.GID))
			if w.unified {
				p.groups = info.CgroupID
			}
			return
		}
		if sys.IsMissing(errno) || errno == syscall.EINVAL {
			w.infos.Store(false)
		}
	}
	w.status(p, t, s)
}

// status reads credentials and PIDs from text, which is dear.
func (w *worker) status(p *Process, t *texts, s subject) {
	text, errno := w.quick(Processes, s.dir, &statusPath)
	if errno != 0 {
		return
	}
	start := len(w.numbers)
	status, ok := procfs.ParseStatus(text, w.numbers)
	if ok {
		w.numbers = status.PIDs
		t.pids = span{uint32(start), uint32(len(w.numbers))}
		p.UID, p.GID = int(int32(status.UID)), int(int32(status.GID))
	}
}

func (p *Process) setNamespaces(seen *[allLinks]*Namespace) {
	copy(p.Namespaces[:], seen[:])
	p.PIDForChildren, p.TimeForChildren = differ(seen)
}

// differ returns the namespaces for children if they are not those of the process or thread itself.
func differ(seen *[allLinks]*Namespace) (pid, time *Namespace) {
	if seen[pidForChildren] != seen[pidSlot] {
		pid = seen[pidForChildren]
	}
	if seen[timeForChildren] != seen[timeSlot] {
		time = seen[timeForChildren]
	}
	return pid, time
}

// pending notes namespaces in which children will be.
func (w *worker) pending(pid, time *Namespace, s subject) {
	for _, n := range [...]*Namespace{pid, time} {
		if n != nil {
			w.refer(n, Reference{Kind: ForChildren, PID: s.pid, TID: s.tid})
		}
	}
}

func (w *worker) refer(n *Namespace, r Reference) {
	w.found, w.targets = append(w.found, r), append(w.targets, n)
}

// enter notes which processes show the mounts of which mount namespace.
func (w *worker) enter(p *Process) {
	if n := p.Namespaces[mntSlot]; n != nil && !p.Kernel && !zombie(p.State) {
		w.table.entered(n, p.PID)
	}
}

// details looks at what else a process has, as far as it lets us.
func (w *worker) details(p *Process, t *texts, s subject, readable bool) {
	if zombie(p.State) {
		w.survivors(p, t, s)
		return
	}
	leads := w.opts.has(Details) || w.first(p)
	if leads && !p.Kernel && (t.kept == nil || t.kept.Cmdline == nil) {
		if text, errno := w.short(Details, s.dir, &cmdlinePath); errno == 0 {
			t.cmdline = w.keep(text)
		}
	}
	w.lookAtCgroup(p, t, s, leads)
	if !readable {
		return
	}
	if w.opts.has(FDs) && !p.Kernel {
		p.fdCount = w.descriptors(s, &p.Namespaces, t.kept)
	}
	if w.opts.has(Tasks) && p.Threads > 1 {
		w.tasks(p, t, s)
	}
}
