package discover

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// A call into the kernel that is about another process may wait for a lock that somebody holds for as long as he likes.
// A thread that waits for a page of a file system of its user's own has the lock of its memory meanwhile, one that
// executes a program that of its credentials, and one that lists a directory of /proc that of the directory. Such a call
// cannot be ended; whoever makes it has to be given up.
//
// So a worker says when such a call begins and ends. When one takes too long, another goroutine goes on with the work,
// from the process on that was being looked at; of that it leaves out what did not answer. The goroutine that was given
// up ends with its call, and touches nothing of the worker's any more.

// watch is over the calls of one goroutine.
type watch struct {
	state   atomic.Uint64 // odd during a call; givenUp: nobody waits for it any more
	number  uint64        // state, as the goroutine left it
	call    stuckCall     // valid during a call
	counted bool          // during the call, uncounted is held for reading: to be released by whoever gives it up

	user  int    // of the process, -1 if not known
	seen  uint64 // of state, by whoever watches
	looks int    // how often that was seen
}

const givenUp = ^uint64(0)

// stuckCall is a call that may not end.
type stuckCall struct {
	pid    int // 0: it is not about one
	source Sources
}

// about says which process the calls from now on are about, and whose it is, -1 if that is not known.
func (w *worker) about(pid, user int) { w.asked = asked{pid, user} }

// asked is the process that calls are about.
type asked struct{ pid, user int }

// begin says that a call begins that may not end. Until its end nothing of the worker's is touched. It returns nil if it is not to be made: it would not end, or too many
// others do not. There is a Problem then.
func (w *worker) begin(source Sources) *watch { return w.beginCounted(source, false) }

func (w *worker) beginCounted(source Sources, counted bool) *watch {
	call := stuckCall{w.asked.pid, source}
	if len(w.avoided) != 0 || stuck.total.Load() != 0 {
		if slices.Contains(w.avoided, source) || stuck.refuses(call, w.asked.user) {
			w.timedOut(call)
			return nil
		}
	}
	c := w.watch
	c.call, c.user, c.counted = call, w.asked.user, counted
	c.number++
	c.state.Store(c.number)
	return c
}

// end says that the call has ended. The goroutine ends with a call that was given up.
func (c *watch) end() { c.endWith(raw.NoFD) }

// endWith is end, of a call that has returned a descriptor or NoFD. That of a call that was given up is closed.
func (c *watch) endWith(fd int) {
	if c.state.CompareAndSwap(c.number, c.number+1) {
		c.number++
		return
	}
	if fd != raw.NoFD {
		raw.Close(fd)
	}
	runtime.Goexit()
}

// overdue looks at a goroutine, and gives it up if the same call was under way the last times, too. It does not go by the
// clock, which goes on while the machine sleeps.
func (c *watch) overdue(looks int) bool {
	state := c.state.Load()
	if state%2 == 0 || state != c.seen {
		c.seen, c.looks = state, 0
		return false
	}
	c.looks++
	return c.looks >= looks && c.state.CompareAndSwap(state, givenUp)
}

func (w *worker) timedOut(call stuckCall) {
	p := Problem{Source: call.source, PID: call.pid, Errno: syscall.ETIMEDOUT}
	if !slices.Contains(w.problems[w.mark.problems:], p) {
		w.problem(p)
	}
}

// mark is how much a worker had found when it came to what it is looking at.
type mark struct{ found, pins, unknown, problems int }

func (w *worker) setMark() {
	w.mark = mark{len(w.found), len(w.pins), len(w.unknown), len(w.problems)}
}

// giveUp makes the worker ready for another goroutine, which begins anew with what is being looked at. The readers and
// paths are left to the one that is given up.
func (w *worker) giveUp() {
	was := w.watch
	if was.counted {
		uncounted.RUnlock()
	}
	m := w.mark
	w.found, w.targets, w.pins = w.found[:m.found], w.targets[:m.found], w.pins[:m.pins]
	w.unknown, w.problems = w.unknown[:m.unknown], w.problems[:m.problems]
	w.avoided = append(w.avoided, was.call.source)
	read := sys.NewProcReader()
	if w.scan.reader == w.read {
		w.scan.reader = read
	}
	w.watch, w.hands = &watch{}, &hands{read: read}
	w.fds, w.tids = nil, nil
}

// stuck are the calls that were given up and have not ended. A program that discovers again and again does not make them
// again, and not too many of them.
var stuck stuckCalls

type stuckCalls struct {
	total atomic.Int32
	mu    sync.Mutex
	calls map[stuckCall]int
	users map[int]int
	kinds map[Sources]int
}

// How many calls may be stuck before no further ones are made: about processes of one user, who could keep us from
// seeing those of others otherwise, and in all.
const (
	maxStuckOfUser = 4
	maxStuck       = 16
)

func (s *stuckCalls) refuses(call stuckCall, user int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call] > 0 || user > 0 && s.users[user] >= maxStuckOfUser ||
		s.kinds[call.source] > 0 && s.total.Load() >= maxStuck
}

func (s *stuckCalls) add(call stuckCall, user, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls, s.users, s.kinds = map[stuckCall]int{}, map[int]int{}, map[Sources]int{}
	}
	s.total.Add(int32(n))
	count(s.calls, call, n)
	count(s.users, user, n)
	count(s.kinds, call.source, n)
}

func count[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
