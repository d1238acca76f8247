package discover

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// scan is one discovery under way.
type scan struct {
	ctx  context.Context
	opts Options
	old  *memory // of what a Rescan takes over; nil

	reader    *sys.ProcReader // of whoever is not a worker, and of the first of them
	procFD    *sys.FD
	proc      int           // number of procFD
	self      int           // this process in there, 0 if it is not
	ownFDs    map[int]ownFD // this process's, before the discovery had any
	own       bool          // the PIDs in it are those of our PID namespace
	ownPID    *Namespace    // see ownPIDNamespace
	askOwnPID sync.Once
	pidfds    atomic.Bool // pidfds know their namespaces
	infos     atomic.Bool // pidfds know credentials and cgroups
	unified   bool        // there are only cgroups of version 2; without snapshot
	links     []link      // of a process to look at
	table     *table
	snapshot  *snapshot // nil if there is none

	pids      []int
	processes []Process // by place in pids; PID is 0 if the process was gone
	texts     []texts
	workers   []*worker
	mounts    mountState
	away      atomic.Int32  // goroutines of workers that were given up and did not come back
	patience  time.Duration // with a call that is watched
}

// link is one of the links in /proc/PID/ns.
type link struct {
	slot    int // where it goes: of NamespacesSet, or one of the next two
	kind    species.NamespaceType
	request uint // of a pidfd
	path    raw.Path
}

const (
	pidForChildren  = len(NamespacesSet{})
	timeForChildren = pidForChildren + 1
	allLinks        = timeForChildren + 1
)

// Discover finds all namespaces that the options ask for. What it could not see is in the result's Problems; the error
// is an *Error: of ctx, or that Options.Proc is no proc file system, cannot be opened, or does not answer. If descriptors or
// memory run out later, there is a Problem for each process or namespace that lacks something for it (EMFILE, ENFILE,
// ENOMEM). There is nothing to close, and it may be called from any goroutine, also several times at once. It looks from
// the namespaces of the process and with its descriptors, also if the caller's thread has others.
//
// It takes no privilege, but without one it sees only the caller's own processes and what is theirs. CAP_BPF and
// CAP_PERFMON in the initial user namespace show all at once (6.18), or else CAP_SYS_PTRACE the processes of others;
// CAP_SYS_ADMIN the mount namespaces that no process is in. Linux 5.10; see namespaces(7) for what can be found, and
// docs/discovery.md for which kernel finds what.
func Discover(ctx context.Context, opts Options) (*Result, error) { return discover(ctx, opts, nil) }

// discover runs beside the caller, if it has a context that may end: a read that hangs hangs nobody else then. It also
// does if the caller's thread has descriptors of its own (unshare(2) with CLONE_FILES), of which numbers would go to other
// threads, or is in another mount namespace.
func discover(ctx context.Context, opts Options, old *Result) (*Result, error) {
	type outcome struct {
		result *Result
		err    error
	}
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: "discover", Err: err}
	}
	if ctx.Done() == nil && raw.IsLikeMainThread() {
		return run(ctx, opts, old)
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := run(ctx, opts, old)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return nil, &Error{Op: "discover", Err: ctx.Err()}
	}
}

func run(ctx context.Context, opts Options, old *Result) (*Result, error) {
	makePoller()
	s := &scan{ctx: ctx, opts: opts.withDefaults(), old: recall(old), reader: readers.Get().(*sys.ProcReader)}
	defer func() { readers.Put(s.reader) }() // another one, if it was given up
	if err := s.open(); err != nil {
		return nil, &Error{Op: "discover", Ref: s.opts.Proc, Err: err}
	}
	defer func() { _ = s.procFD.Close() }()
	defer s.table.release()
	defer s.releaseSelf()
	if err := s.look(); err != nil {
		return nil, &Error{Op: "discover", Err: err}
	}
	return s.result(), nil
}

var errNoProc = errors.New("not a proc file system")

// readers have buffers that are dear to make for a small machine.
var readers = sync.Pool{New: func() any { return sys.NewProcReader() }}

// open opens the proc file system and finds out what it and the kernel can do.
func (s *scan) open() error {
	path := raw.NewPath(s.opts.Proc)
	proc, errno := raw.Open(raw.CurrentDir, &path, raw.ForListing)
	if errno != 0 {
		return errno
	}
	s.procFD, s.proc, s.patience = sys.NewFD(proc), proc, s.opts.Patience
	dev, err := nsfsDevice()
	switch {
	case !sys.IsProc(proc):
		err = errNoProc
	case err == nil && s.opts.has(Processes):
		err = s.listProcesses()
	}
	if err != nil {
		_ = s.procFD.Close()
		return err
	}
	s.table = newTable(dev, &s.opts)
	path = raw.NewPath("self")
	text, _ := s.reader.Link(s.proc, &path)
	s.self, _ = procfs.PID(text)
	if s.takeSnapshot(); s.snapshot == nil {
		s.lookAtSelf(s.reader)
		s.table.serials = haveSerials()
		s.table.handles = s.table.serials && inInitialPIDNamespace()
		s.own = s.isOwn()
		s.unified = s.isUnified()
	}
	s.pidfds.Store(s.own)
	s.infos.Store(s.own)
	s.processes = written[Process](len(s.pids))
	s.texts = written[texts](len(s.pids))
	s.prepareLinks()
	return nil
}

// These open a namespace for a moment.

func nsfsDevice() (uint64, error) {
	uncounted.RLock()
	defer uncounted.RUnlock()
	return sys.NsfsDevice()
}

func haveSerials() bool {
	uncounted.RLock()
	defer uncounted.RUnlock()
	return sys.HaveSerials()
}

// inInitialPIDNamespace says whether we are, without which file handles of namespaces may be called stale.
func inInitialPIDNamespace() bool {
	uncounted.RLock()
	defer uncounted.RUnlock()
	fd, err := sys.OpenThreadNamespace(species.CLONE_NEWPID)
	if err != nil {
		return false
	}
	defer func() { _ = fd.Close() }()
	id, err := sys.IDOf(fd.Int())
	return err == nil && species.IsInitialInode(id.Ino)
}

// ownPIDNamespace returns that of this process, if it is also that of the proc file system.
func (s *scan) ownPIDNamespace() *Namespace {
	s.askOwnPID.Do(func() {
		if s.own {
			s.ownPID = s.openOwn(species.CLONE_NEWPID)
		}
	})
	return s.ownPID
}

// openOwn returns the calling thread's namespace of that type, nil if it cannot be opened.
func (s *scan) openOwn(t species.NamespaceType) *Namespace {
	n, _ := s.table.open(t, func() (int, syscall.Errno) {
		fd, err := sys.OpenThreadNamespace(t)
		if err != nil {
			return raw.NoFD, errnoOf(err)
		}
		return fd.Disown(), 0
	})
	return n
}

// isOwn says whether the proc file system is of our own PID namespace: that is where we have a single PID.
func (s *scan) isOwn() bool {
	path := raw.NewPath("self/status")
	text, errno := s.reader.Short(s.proc, &path)
	status, ok := procfs.ParseStatus(text, nil)
	return errno == 0 && ok && len(status.PIDs) == 1 && status.PIDs[0] == raw.OwnPID()
}

// isUnified says whether processes are in no hierarchy of version 1.
func (s *scan) isUnified() bool {
	path := raw.NewPath("self/cgroup")
	text, errno := s.reader.Short(s.proc, &path)
	return errno == 0 && bytes.HasPrefix(text, []byte("0::"))
}

func (s *scan) prepareLinks() {
	types := s.opts.looked()
	for i, t := range slots {
		if types.Has(t) {
			s.links = append(s.links, link{i, t, raw.PidfdRequest(t), raw.NewPath("ns/" + t.Name())})
		}
	}
	if types.Has(species.CLONE_NEWPID) {
		s.links = append(s.links, link{pidForChildren, species.CLONE_NEWPID,
			raw.PidfdRequest(raw.PIDForChildren), raw.NewPath("ns/pid_for_children")})
	}
	if types.Has(species.CLONE_NEWTIME) {
		s.links = append(s.links, link{timeForChildren, species.CLONE_NEWTIME,
			raw.PidfdRequest(raw.TimeForChildren), raw.NewPath("ns/time_for_children")})
	}
}

// look looks at everything.
func (s *scan) look() error {
	s.startWorkers()
	s.share(len(s.pids), (*worker).process)
	s.confirm()
	switch {
	case s.opts.has(Mounts):
		s.lookAtMounts()
	case s.opts.has(KernelList):
		s.listNamespaces()
	}
	return s.ctx.Err()
}

func (s *scan) listProcesses() error {
	here := raw.NewPath(".")
	var errno syscall.Errno
	s.workers = []*worker{newWorker(s, 0)}
	s.patience = max(s.opts.Patience, 10*defaultPatience) // without that there is nothing
	s.share(1, func(w *worker, _ int) { s.pids, errno = w.listNumbers(Processes, nil, s.proc, &here) })
	s.workers, s.patience = nil, s.opts.Patience
	if errno != 0 {
		return errno
	}
	if len(s.pids) == 0 {
		return errors.New("shows no process")
	}
	slices.Sort(s.pids)
	return nil
}

// worthAWorker is the number of processes that make a further worker pay: they get into each other's way in the kernel,
// which costs a tenth of CPU time, and less than that many do not take long.
const worthAWorker = 4096

func (s *scan) startWorkers() {
	n := min(s.opts.Workers, 1+len(s.pids))
	if n <= 0 {
		n = min(2, runtime.GOMAXPROCS(0), 1+len(s.pids)/worthAWorker)
	}
	for range n {
		s.workers = append(s.workers, newWorker(s, len(s.pids)/n))
	}
}
