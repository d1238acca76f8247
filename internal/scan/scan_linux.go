package scan

import (
	"context"
	"errors"
	"math"
	"runtime"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
)

// Run finds what there is; given old facts, for less. What could not be seen is among the problems. The error is that of
// ctx, or of the proc file system. It runs beside the caller if that has a context that may end: a read that hangs hangs
// nobody else then. It also does if the caller's thread has descriptors of its own (unshare(2) with CLONE_FILES), of
// which numbers would go to other threads, or is in another mount namespace.
func Run(ctx context.Context, opts Options, old *facts.Facts) (*facts.Facts, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ctx.Done() == nil && raw.IsLikeMainThread() {
		return run(ctx, opts, old)
	}
	found, err := Within(math.MaxInt64, ctx.Done(), func() (*facts.Facts, error) { return run(ctx, opts, old) }, func(*facts.Facts) {})
	if errors.Is(err, syscall.EINTR) {
		return nil, ctx.Err()
	}
	return found, err
}

// run is a discovery, phase by phase.
func run(ctx context.Context, opts Options, old *facts.Facts) (*facts.Facts, error) {
	makePoller()
	s := newScan(ctx, opts, old)
	defer s.close()
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
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.lookAgain() // at processes in namespaces that have ended
	f := s.collect()
	s.readLeaders(f)
	s.findContainers(f)
	f.Problems = append(f.Problems, s.problems()...)
	return f, nil
}

// prepare finds out what there is no snapshot to tell, and makes room for what is to be found.
func (s *scan) prepare() {
	if s.snapshot == nil {
		s.lookAtSelf(s.reader)
		s.table.serials, s.table.handles = haveSerials()
		s.proc.own = s.isOwnProc()
		s.proc.unified = s.isUnified()
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
	for range n {
		s.workers = append(s.workers, newWorker(s, len(s.pids)/n))
	}
}
