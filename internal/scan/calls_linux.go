package scan

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// A call into the kernel that is about another process may wait for a lock that somebody holds for as long as they like.
// A thread that waits for a page of a file system of its user's own has the lock of its memory meanwhile, one that
// executes a program that of its credentials, and one that lists a directory of /proc that of the directory. Such a call
// cannot be ended; whoever makes it has to be given up.
//
// So a worker says when such a call begins and ends. When one takes too long, another goroutine goes on with the work,
// from the process on that was being looked at; of that it leaves out what did not answer. The goroutine that was given
// up ends with its call, and touches nothing of the worker's any more. Where there is but one worker for all, nobody takes
// its place: the discovery begins anew, with others; see Run.

// caller makes the calls of a worker, on one goroutine.
type caller struct {
	read         *sys.ProcReader
	number, name raw.Path

	state   atomic.Uint64 // odd during a call; givenUp: nobody waits for it any more
	count   uint64        // state, as the goroutine left it
	call    stuckCall     // valid during a call
	passing bool          // during the call, inPassing is open: to be closed by whoever gives it up
	away    *atomic.Int32 // counts callers that were given up

	seen  uint64 // of state, by whoever watches
	looks int    // how often that was seen
}

const givenUp = ^uint64(0)

// about says which process the calls from now on are about, and whose it is, -1 if that is not known.
func (w *worker) about(pid, user int) { w.pid, w.user, w.state = pid, user, "" }

// newCaller returns one that may be given up.
func (s *scan) newCaller(read *sys.ProcReader) *caller { return &caller{read: read, away: s.away} }

// begin says that a call begins that may not end. Until its end nothing of the worker's is touched. It returns nil, and
// notes a Problem, if the call is not to be made: it would not end, or too many others do not.
func (w *worker) begin(source facts.Sources, passing bool) *caller {
	call := stuckCall{w.pid, w.user, source, w.state}
	if len(w.avoided) != 0 || stuck.total.Load() != 0 {
		if slices.Contains(w.avoided, source) || stuck.refuses(call) {
			p := facts.Problem{Source: source, PID: w.pid, Path: facts.Text(w.state), Errno: syscall.ETIMEDOUT}
			if !slices.Contains(w.problems[w.mark.problems:], p) {
				w.problem(p)
			}
			return nil
		}
	}
	c := w.caller
	c.call, c.passing = call, passing
	c.count++
	c.state.Store(c.count)
	return c
}

// end says that the call has ended, and whether anybody has waited for it. If not, the goroutine has to end, too.
func (c *caller) end() bool {
	c.count++
	if c.state.CompareAndSwap(c.count-1, c.count) {
		return true
	}
	stuck.add(c.call, -1)
	c.away.Add(-1)
	return false
}

// watch makes a call that may not end. ETIMEDOUT: it was not made, and there is a Problem.
func watch[T any](w *worker, source facts.Sources, call func(c *caller) (T, syscall.Errno)) (result T, errno syscall.Errno) {
	c := w.begin(source, false)
	if c == nil {
		return result, syscall.ETIMEDOUT
	}
	result, errno = call(c)
	if !c.end() {
		runtime.Goexit()
	}
	return result, errno
}

// watchOpen is watch for a call that opens a descriptor. passing: inPassing is open.
func (w *worker) watchOpen(source facts.Sources, passing bool, open func() (int, syscall.Errno)) (int, syscall.Errno) {
	c := w.begin(source, passing)
	if c == nil {
		return raw.NoFD, syscall.ETIMEDOUT
	}
	fd, errno := open()
	if !c.end() {
		if errno == 0 {
			raw.Close(fd)
		}
		runtime.Goexit()
	}
	return fd, errno
}

// giveUp gives a call up that was under way at so many looks before, too. It counts looks, not time: clocks go on while
// the machine sleeps.
func (c *caller) giveUp(looks int) bool {
	state := c.state.Load()
	if state == c.seen {
		c.looks++
	} else {
		c.seen, c.looks = state, 0
	}
	if state%2 == 0 || state == givenUp || c.looks < looks || !c.state.CompareAndSwap(state, givenUp) {
		return false
	}
	c.away.Add(1)
	stuck.add(c.call, 1)
	if c.passing {
		inPassing.close()
	}
	return true
}

// stuckCall is a call that may not end.
type stuckCall struct {
	pid    int // 0: it is not about one
	user   int // of the process, -1 if not known
	source facts.Sources
	state  string
}

// stuck are the calls that were given up and have not ended. A program that discovers again and again does not make them
// again, and not too many of them.
var stuck = stuckCalls{calls: map[stuckCall]int{}, users: map[int]int{}, sources: map[facts.Sources]int{}}

type stuckCalls struct {
	total   atomic.Int32
	mu      sync.Mutex
	calls   map[stuckCall]int // without users, which are not always known
	users   map[int]int
	sources map[facts.Sources]int
}

// How many calls may be stuck before no further ones are made: about processes of one user, who could keep us from
// seeing those of others otherwise, and in all.
const (
	maxStuckOfUser = 4
	maxStuck       = 16
)

func (s *stuckCalls) refuses(call stuckCall) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[stuckCall{call.pid, 0, call.source, call.state}] > 0 || call.user > 0 && s.users[call.user] >= maxStuckOfUser ||
		s.sources[call.source] > 0 && s.total.Load() >= maxStuck
}

func (s *stuckCalls) add(call stuckCall, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.Add(int32(n))
	count(s.calls, stuckCall{call.pid, 0, call.source, call.state}, n)
	count(s.users, call.user, n)
	count(s.sources, call.source, n)
}

func count[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
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

// openDir opens a directory of /proc to find paths from.
func (w *worker) openDir(source facts.Sources, dir int, path *raw.Path) (int, syscall.Errno) {
	fd, errno := w.watchOpen(source, false, func() (int, syscall.Errno) { return raw.Open(dir, path, raw.ForPaths) })
	return fd, w.checked(source, errno)
}

// openProcess opens the directory of a process, which the calls are about from then on.
func (w *worker) openProcess(source facts.Sources, pid, user int) (int, syscall.Errno) {
	w.about(pid, user)
	return w.openDir(source, w.scan.proc.dir, w.numbered(pid))
}

// reading is a method of ProcReader.
type reading func(r *sys.ProcReader, dir int, path *raw.Path) ([]byte, syscall.Errno)

// read reads a file or link.
func (w *worker) read(source facts.Sources, how reading, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	text, errno := watch(w, source, func(c *caller) ([]byte, syscall.Errno) { return how(c.read, dir, path) })
	return text, w.checked(source, errno)
}

func (w *worker) short(source facts.Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	return w.read(source, (*sys.ProcReader).Short, dir, path)
}

func (w *worker) readLink(source facts.Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	return w.read(source, (*sys.ProcReader).Link, dir, path)
}

// stat reads the stat of a process or thread. ESRCH: it is gone.
func (w *worker) stat(source facts.Sources, dir int) (procfs.Stat, syscall.Errno) {
	text, errno := w.short(source, dir, &statPath)
	stat, ok := procfs.ParseStat(text)
	if errno == 0 && !ok {
		errno = syscall.ESRCH
	}
	return stat, errno
}

// listNumbers appends the numbers that are names in a directory.
func (w *worker) listNumbers(source facts.Sources, list []int, below int, path *raw.Path) ([]int, syscall.Errno) {
	dir, errno := w.watchOpen(source, false, func() (int, syscall.Errno) { return raw.Open(below, path, raw.ForListing) })
	if errno != 0 {
		return list, w.checked(source, errno)
	}
	defer raw.CloseNoWait(dir)
	for {
		entries, errno := watch(w, source, func(c *caller) ([]byte, syscall.Errno) { return c.read.List(dir) })
		if errno != 0 || len(entries) == 0 {
			return list, w.checked(source, errno)
		}
		list = sys.AppendNumbers(list, entries)
	}
}

// checked returns the errno, and notes a lack of descriptors or memory, which callers may take for "there is nothing".
func (w *worker) checked(source facts.Sources, errno syscall.Errno) syscall.Errno {
	if exhausted(errno) {
		w.problem(facts.Problem{Source: source, PID: w.pid, Errno: errno})
	}
	return errno
}

func exhausted(errno syscall.Errno) bool {
	return errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.ENOMEM
}

// drop closes a duplicate. It might be of another file by now, whose file system has to be asked before it is closed.
func (w *worker) drop(source facts.Sources, own int) {
	_, errno := watch(w, source, func(*caller) (struct{}, syscall.Errno) {
		ours.drop(own)
		return struct{}{}, 0
	})
	if errno != 0 {
		go ours.drop(own)
	}
}

// errnoOf returns the errno in an error, EIO if there is none.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}
