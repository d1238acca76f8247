package scan

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Run finds what there is; given old facts, for less. What could not be seen is among the problems. The error is that of
// ctx, or of the proc file system. Another goroutine does it all, so that a read that hangs hangs nobody else; the thread
// of the caller may have descriptors of its own (unshare(2) with CLONE_FILES), of which numbers would go to other threads,
// or be in another mount namespace. One goroutine is enough unless a call hangs, and then all begins anew with workers.
func Run(ctx context.Context, opts Options, old *facts.Facts) (*facts.Facts, error) {
	if raw.IsLikeMainThread() {
		return runHere(ctx, opts, old)
	}
	var found *facts.Facts
	err := errors.New("a Namer has ended its goroutine")
	done := make(chan struct{})
	go func() { // the runtime opens what timers need
		defer close(done)
		found, err = runHere(ctx, opts, old)
	}()
	<-done
	return found, err
}

func runHere(ctx context.Context, opts Options, old *facts.Facts) (*facts.Facts, error) {
	makePoller()
	first := discoveries.Add(1) == 1
	var away atomic.Int32
	for alone := true; ctx.Err() == nil; alone = false {
		s := newScan(ctx, opts, old)
		s.first, s.alone, s.away, s.caller.away = first, alone, &away, &away
		o := s.watched()
		if o.givenUp {
			continue
		}
		if o.err == nil {
			o.err = s.name(o.found)
		}
		if o.err == nil {
			o.err = ctx.Err() // then something at the end may not have been looked at
		}
		if o.err != nil {
			return nil, o.err
		}
		s.containerRows(o.found)
		return o.found, nil
	}
	return nil, ctx.Err()
}

// run is a discovery, phase by phase.
func (s *scan) run() (*facts.Facts, error) {
	if err := s.openProc(); err != nil {
		return nil, err
	}

	s.takeSnapshot() // of all processes at once, if the kernel can
	s.prepare()
	s.startWorkers()
	s.share(len(s.pids), (*worker).process) // each from the snapshot, or from /proc
	s.confirm()                             // that what both say is of the same processes
	s.walkMountNamespaces()
	s.listNamespaces() // of all types, if the kernel does that
	s.lookAtMounts()   // of all mount namespaces, and so at pins
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	s.lookAgain() // at processes in namespaces that have ended
	f := s.collect()
	s.readLeaders(f)
	s.findContainers(f)
	for _, w := range s.workers {
		f.Problems = append(f.Problems, w.problems...)
	}
	f.Problems = append(f.Problems, s.table.lacking...)
	return f, nil
}

// prepare finds out what there is no snapshot to tell, and makes room for what is to be found.
func (s *scan) prepare() {
	if s.snapshot == nil {
		s.lookAtSelf(s.caller.read)
		s.table.serials, s.table.handles = haveSerials()
		s.proc.own = s.isOwnProc()
		s.proc.unified = bytes.HasPrefix(s.readSelf("cgroup"), []byte("0::")) // none of version 1
	}
	s.pidfds.Store(s.proc.own)
	s.infos.Store(s.proc.own)
	s.rows = written[facts.Process](len(s.pids))
	s.drafts = written[draft](len(s.pids))
}

// worthAWorker is the number of processes that make a further worker pay: they get into each other's way in the kernel,
// which costs a tenth of CPU time, and less than that many do not take long.
const worthAWorker = 4096

func (s *scan) startWorkers() {
	n := min(s.opts.Workers, 1+len(s.pids))
	if n <= 0 {
		n = min(2, runtime.GOMAXPROCS(0), 1+len(s.pids)/worthAWorker)
	}
	if n > 1 { // whoever watches the first caller cannot give it up any more
		s.alone = false
		s.caller = s.newCaller(s.caller.read)
		s.workers[0].caller = s.caller
	}
	for len(s.workers) < n {
		s.workers = append(s.workers, newWorker(s))
	}
	for _, w := range s.workers {
		w.numbers = make([]int, 0, 8+2*len(s.pids)/n)
		w.text.Grow(1024 + 48*len(s.pids)/n)
	}
}

// Options say what to find; package discover documents them. All are filled in.
type Options struct {
	Types      species.Set
	Sources    facts.Sources
	Proc       string
	Workers    int
	Patience   time.Duration
	NoSnapshot bool
	Namers     []Namer
}

// Namer returns the name of a container, "" if it does not know.
type Namer func(context.Context, *container.Container) (string, error)

// has reports whether all of these sources are wanted.
func (o *Options) has(s facts.Sources) bool { return o.Sources.Has(s) }

// lookedAt returns the types of which the namespaces of processes have to be looked at, so that all of o.Types are found.
func (o *Options) lookedAt() species.Set {
	types := o.Types
	if types.Has(species.CLONE_NEWUSER) && o.has(facts.Ownership) {
		return species.Set(species.AllNS) // any may be all there is of its owner
	}
	if o.has(facts.Mounts) {
		types = types.With(species.CLONE_NEWNS)
	}
	return types.With(species.CLONE_NEWPID)
}

// scan is one discovery under way.
type scan struct {
	ctx   context.Context
	opts  Options
	links []nsLink  // of a process to look at
	old   *previous // what can be taken over; nil

	proc   procDir
	ownFDs map[int]ownFD // this process's, before the discovery had any
	pidfds atomic.Bool   // pidfds know their namespaces
	infos  atomic.Bool   // pidfds know credentials and cgroups

	table    *table
	snapshot *snapshot // nil if there is none
	mounts   mounts

	cgroups    *cgroupFS              // once it was asked for
	containers []*container.Container // by row

	pids   []int
	rows   []facts.Process // by index in pids; PID is 0 if the process was gone
	drafts []draft

	caller   *caller // of whoever is not a worker, and of the first of them
	alone    bool    // the goroutine that makes the discovery is the only worker; see watched
	first    bool    // of all discoveries
	workers  []*worker
	away     *atomic.Int32 // goroutines of workers that were given up and did not come back
	patience atomic.Int64  // with a call that is watched; nanoseconds
}

// readers have buffers that are expensive to make for a small machine.
var readers = sync.Pool{New: func() any { return sys.NewProcReader() }}

func newScan(ctx context.Context, opts Options, old *facts.Facts) *scan {
	s := &scan{ctx: ctx, opts: opts, old: recall(old), away: new(atomic.Int32)}
	s.caller = s.newCaller(readers.Get().(*sys.ProcReader))
	s.workers = []*worker{newWorker(s)}
	s.patience.Store(int64(opts.Patience))
	types := opts.lookedAt()
	s.links = make([]nsLink, 0, len(facts.Links{}))
	for i := range cap(s.links) {
		if types.Has(facts.LinkType(i)) {
			s.links = append(s.links, nsLinkAt(i))
		}
	}
	return s
}

func (s *scan) close() {
	s.releaseSelf()
	if s.snapshot != nil {
		s.snapshot.records.Release()
	}
	if s.table != nil {
		s.table.release()
	}
	if s.proc.fd != nil {
		_ = s.proc.fd.Close()
	}
	if s.caller.state.Load() != givenUp {
		readers.Put(s.caller.read)
	}
}

// subject is a process or thread that is being looked at.
type subject struct {
	pid, tid int // tid is 0 for a process
	dir      int // in /proc
	pidfd    int // raw.NoFD without
}

// unopened returns a process or thread for worker.open.
func unopened(pid, tid int) subject { return subject{pid, tid, raw.NoFD, raw.NoFD} }

func (s *subject) close() {
	raw.CloseNoWait(s.pidfd)
	raw.CloseNoWait(s.dir)
}
