package scan

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
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
// up ends with its call, and touches nothing of the worker's any more.

// caller makes the calls of a worker, on one goroutine.
type caller struct {
	read         *sys.ProcReader
	number, name raw.Path

	state   atomic.Uint64 // odd during a call; givenUp: nobody waits for it any more
	count   uint64        // state, as the goroutine left it
	call    stuckCall     // valid during a call
	passing bool          // during the call, inPassing is open: to be closed by whoever gives it up

	seen  uint64 // of state, by whoever watches
	looks int    // how often that was seen
}

const givenUp = ^uint64(0)

// stuckCall is a call that may not end.
type stuckCall struct {
	pid    int // 0: it is not about one
	user   int // of the process, -1 if not known
	source facts.Sources
}

// about says which process the calls from now on are about, and whose it is, -1 if that is not known.
func (w *worker) about(pid, user int) { w.pid, w.user = pid, user }

// begin says that a call begins that may not end. Until its end nothing of the worker's is touched. It returns nil if the
// call is not to be made: it would not end, or too many others do not. There is a Problem then.
func (w *worker) begin(source facts.Sources) *caller { return w.beginPassing(source, false) }

// beginPassing is begin of a call during which inPassing is open.
func (w *worker) beginPassing(source facts.Sources, passing bool) *caller {
	call := stuckCall{w.pid, w.user, source}
	if len(w.avoided) != 0 || stuck.total.Load() != 0 {
		if slices.Contains(w.avoided, source) || stuck.refuses(call) {
			w.timedOut(call)
			return nil
		}
	}
	c := w.caller
	c.call, c.passing = call, passing
	c.count++
	c.state.Store(c.count)
	return c
}

// end says that the call has ended. The goroutine ends with a call that was given up.
func (c *caller) end() { c.endWith(raw.NoFD) }

// endWith is end, of a call that has returned a descriptor or NoFD. That of a call that was given up is closed.
func (c *caller) endWith(fd int) {
	if c.state.CompareAndSwap(c.count, c.count+1) {
		c.count++
		return
	}
	if fd != raw.NoFD {
		raw.Close(fd)
	}
	runtime.Goexit()
}

// isOverdue looks at a goroutine, and gives it up if the same call was under way the last times, too. It does not go by
// the clock, which goes on while the machine sleeps.
func (c *caller) isOverdue(looks int) bool {
	state := c.state.Load()
	if state%2 == 0 || state != c.seen {
		c.seen, c.looks = state, 0
		return false
	}
	c.looks++
	return c.looks >= looks && c.state.CompareAndSwap(state, givenUp)
}

func (w *worker) timedOut(call stuckCall) {
	p := facts.Problem{Source: call.source, PID: call.pid, Errno: syscall.ETIMEDOUT}
	if !slices.Contains(w.problems[w.mark.problems:], p) {
		w.problem(p)
	}
}

// stuck are the calls that were given up and have not ended. A program that discovers again and again does not make them
// again, and not too many of them.
var stuck stuckCalls

type stuckCalls struct {
	total   atomic.Int32
	mu      sync.Mutex
	calls   map[stuckCall]int // without users
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
	return s.calls[call.about()] > 0 || call.user > 0 && s.users[call.user] >= maxStuckOfUser ||
		s.sources[call.source] > 0 && s.total.Load() >= maxStuck
}

// about leaves aside whose process it is, which is not always known.
func (c stuckCall) about() stuckCall { return stuckCall{pid: c.pid, source: c.source} }

func (s *stuckCalls) add(call stuckCall, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls, s.users, s.sources = map[stuckCall]int{}, map[int]int{}, map[facts.Sources]int{}
	}
	s.total.Add(int32(n))
	count(s.calls, call.about(), n)
	count(s.users, call.user, n)
	count(s.sources, call.source, n)
}

func count[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
