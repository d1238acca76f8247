package discover

import (
	"sync/atomic"
	"time"
)

// job is n pieces of work for the workers.
type job struct {
	n    int
	do   func(w *worker, i int)
	next atomic.Int64
	done chan struct{} // for each worker that has nothing more to do
}

// share has the workers do the n pieces of a job. A piece may be done again from the beginning, without what did not
// answer the first time.
func (s *scan) share(n int, do func(w *worker, i int)) {
	if n == 0 {
		return
	}
	j := &job{n: n, do: do, done: make(chan struct{}, len(s.workers))}
	for _, w := range s.workers {
		w.at, w.until = 0, 0
		go w.work(j)
	}
	interval := min(max(s.patience/16, time.Millisecond), 50*time.Millisecond)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for left := len(s.workers); left > 0; {
		select {
		case <-j.done:
			left--
		case <-tick.C:
			s.lookAfter(j, interval)
		}
	}
}

// work does pieces of a job until there are no more. Which one it is at is known to whoever goes on with it.
func (w *worker) work(j *job) {
	const piece = 16
	watched := w.watch
	defer func() {
		if watched.state.Load() == givenUp {
			stuck.add(watched.call, watched.user, -1)
			w.away.Add(-1)
		}
	}()
	for w.ctx.Err() == nil {
		if w.at >= w.until {
			if w.at = int(j.next.Add(piece)) - piece; w.at >= j.n {
				break
			}
			w.until = min(w.at+piece, j.n)
		}
		w.setMark()
		w.about(0, -1)
		j.do(w, w.at)
		w.at, w.avoided = w.at+1, w.avoided[:0]
	}
	j.done <- struct{}{}
}

// lookAfter gives up whoever waits too long, or at all once the context has ended. While two are still away there is only
// a quarter of the patience: such calls mostly take microseconds, and there may be many that do not end.
func (s *scan) lookAfter(j *job, interval time.Duration) {
	looks := int((s.patience >> min(s.away.Load(), 2)) / interval)
	if s.ctx.Err() != nil {
		looks = 1
	}
	for _, w := range s.workers {
		if w.watch.overdue(looks) {
			s.away.Add(1)
			stuck.add(w.watch.call, w.watch.user, 1)
			w.giveUp()
			go w.work(j)
		}
	}
}
