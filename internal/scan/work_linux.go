package scan

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
)

// worker looks at a part of the processes and mounts. What it finds is put together at the end.
type worker struct {
	scan   *scan
	caller *caller

	found    []reference
	unopened []unopenedPin
	problems []facts.Problem
	text     strings.Builder // of names and command lines, see keep
	numbers  []int           // PIDs, one after the other

	last    [len(facts.Links{})]*entry // seen last, for each link: mostly it is the same again
	sockets map[uint32]facts.Ref       // by inode number: the namespaces of those that were looked at
	cgroups map[string]*cgroup         // by what /proc/PID/cgroup says
	groups  map[uint64]groups
	texts   map[string]string // of mounts; see intern

	// Room for what is looked at.
	tids, fds []int
	path, buf []byte
	ids       []uint64
	record    taskiter.Task

	// What is being looked at.
	at, until int // pieces of the job that are to be done
	mark      mark
	pid, user int             // that calls are about; see about
	state     string          // of which container or runtimes, if they are about that
	avoided   []facts.Sources // that did not answer
}

// reference is a row about what leads to a namespace.
type reference struct {
	to  facts.Ref
	row facts.Reference
}

// draft is what is known of a process beside its row, until the facts are put together.
type draft struct {
	worker      *worker    // that has looked at it
	cmdline     facts.Text // as /proc has it
	cgroup      *cgroup
	groups      uint64         // the same for processes in the same cgroups, of one discovery; 0 if not known
	old         *facts.Process // in the last result, if it is the same process and program
	start       uint64         // in nanoseconds after boot; 0 without snapshot
	unconfirmed bool           // see scan.confirm
}

func newWorker(s *scan) *worker {
	c := s.caller
	if len(s.workers) > 0 {
		c = s.newCaller(sys.NewProcReader())
	}
	return &worker{
		scan:    s,
		caller:  c,
		sockets: map[uint32]facts.Ref{},
		cgroups: map[string]*cgroup{},
		groups:  map[uint64]groups{},
		texts:   map[string]string{},
	}
}

// numbered returns the path of a number, for the next call.
func (w *worker) numbered(n int) *raw.Path { return w.caller.number.Number(n) }

// keep returns a text as one that stays. Many share one allocation.
func (w *worker) keep(text []byte) facts.Text {
	const room = 1 << 14
	if w.text.Cap()-w.text.Len() < len(text) {
		w.text = strings.Builder{}
		w.text.Grow(room + len(text))
	}
	start := w.text.Len()
	_, _ = w.text.Write(text)
	return facts.Text(w.text.String()[start:])
}

// refer notes what leads to a namespace. There can be many, and so their room is doubled when it is full.
func (w *worker) refer(to facts.Ref, row facts.Reference) {
	if len(w.found) == cap(w.found) {
		w.found = slices.Grow(w.found, 16+len(w.found))
	}
	w.found = append(w.found, reference{to, row})
}

// problem notes a Problem. That there are no descriptors left is said once of each process and source.
func (w *worker) problem(p facts.Problem) {
	if !exhausted(p.Errno) || !slices.Contains(w.problems[min(w.mark.problems, len(w.problems)):], p) {
		w.problems = append(w.problems, p)
	}
}

// mark is how much a worker had found when it came to what it is looking at.
type mark struct{ found, unopened, problems int }

// job is n pieces of work for the workers.
type job struct {
	n    int
	do   func(w *worker, i int)
	next atomic.Int64
	done chan struct{} // for each worker that has nothing more to do
}

// outcome is how a discovery has ended.
type outcome struct {
	found   *facts.Facts
	err     error
	givenUp bool // its only worker was, for a call that is now known to be stuck
}

// watched runs the discovery, and closes it. When the context ends, another goroutine watches on. Several workers are
// watched by share.
func (s *scan) watched() outcome {
	caller, done := s.caller, make(chan outcome, 1)
	if !s.alone {
		caller = s.newCaller(nil) // makes no calls
	}
	go func() {
		found, err := s.run()
		s.close()
		done <- outcome{found: found, err: err}
	}()
	o, ok := s.await(caller, done, s.ctx.Done())
	if !ok {
		go s.await(caller, done, nil)
		return outcome{err: s.ctx.Err()}
	}
	return o
}

// await waits for the outcome, and gives the caller up if it takes too long. It is false if it was stopped before.
func (s *scan) await(caller *caller, done <-chan outcome, stop <-chan struct{}) (o outcome, ok bool) {
	tick := time.NewTicker(s.interval())
	defer tick.Stop()
	for {
		select {
		case o := <-done:
			return o, true
		case <-stop:
			return outcome{}, false
		case <-tick.C:
			if caller.giveUp(s.looks()) {
				s.close()
				return outcome{givenUp: true}, true
			}
		}
	}
}

// interval is the time after which whoever watches looks again.
func (s *scan) interval() time.Duration {
	return min(max(s.opts.Patience/16, time.Millisecond), 50*time.Millisecond)
}

// looks is how often the same call may be seen under way: once after the context has ended. While two goroutines are
// still away there is only a quarter of the patience: such calls mostly take microseconds, and there may be many that do
// not end.
func (s *scan) looks() int {
	if s.ctx.Err() != nil {
		return 1
	}
	return max(1, int(time.Duration(s.patience.Load()>>min(s.away.Load(), 2))/s.interval()))
}

// share has the workers do the n pieces of a job. One may be done again, without what did not answer the first time.
func (s *scan) share(n int, do func(w *worker, i int)) {
	if n == 0 {
		return
	}
	j := &job{n: n, do: do}
	for _, w := range s.workers {
		w.at, w.until = 0, 0
	}
	if s.alone {
		s.workers[0].work(j)
		return
	}
	j.done = make(chan struct{}, len(s.workers))
	for _, w := range s.workers {
		go w.goOn(j)
	}
	tick := time.NewTicker(s.interval())
	defer tick.Stop()
	for left := len(s.workers); left > 0; {
		select {
		case <-j.done:
			left--
		case <-tick.C:
			s.lookAfter(j)
		}
	}
}

func (w *worker) goOn(j *job) {
	w.work(j)
	j.done <- struct{}{}
}

// work does pieces of a job until there are no more. It says which one it is at, for whoever has to go on with it.
func (w *worker) work(j *job) {
	const piece = 16
	for w.scan.ctx.Err() == nil {
		if w.at >= w.until {
			if w.at = int(j.next.Add(piece)) - piece; w.at >= j.n {
				break
			}
			w.until = min(w.at+piece, j.n)
		}
		w.mark = mark{len(w.found), len(w.unopened), len(w.problems)}
		w.about(0, -1)
		j.do(w, w.at)
		w.at, w.avoided = w.at+1, w.avoided[:0]
	}
}

// lookAfter gives up goroutines that wait too long, or at all once the context has ended.
func (s *scan) lookAfter(j *job) {
	looks := s.looks()
	for _, w := range s.workers {
		if w.caller.giveUp(looks) {
			w.replace()
			go w.goOn(j)
		}
	}
}

// replace readies the worker for another goroutine, which begins the piece anew. The old one keeps caller and rooms.
func (w *worker) replace() {
	was := w.caller
	m := w.mark
	w.found, w.unopened, w.problems = w.found[:m.found], w.unopened[:m.unopened], w.problems[:m.problems]
	w.avoided = append(w.avoided, was.call.source)
	w.caller = w.scan.newCaller(sys.NewProcReader())
	if w.scan.caller == was {
		w.scan.caller = w.caller
	}
	w.fds, w.tids = nil, nil
}
