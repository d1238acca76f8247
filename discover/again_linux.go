package discover

import "slices"

// lookAgain looks in /proc at processes that were in namespaces which are gone: they have ended, or are in others now.
func (s *scan) lookAgain() {
	var again []int
	for i := range s.processes {
		if p := &s.processes[i]; p.PID != 0 && p.Namespaces.gone() {
			s.texts[i].worker.forget(p.PID)
			again = append(again, i)
		}
	}
	s.share(len(again), func(w *worker, i int) {
		s.processes[again[i]], s.texts[again[i]] = Process{}, texts{}
		w.last = [allLinks]*Namespace{}
		w.walk(again[i])
	})
}

// forget lets go of what a process holds.
func (w *worker) forget(pid int) {
	var targets []*Namespace
	for i, n := range w.targets {
		if w.found[i].PID != pid {
			targets = append(targets, n)
		}
	}
	w.found = slices.DeleteFunc(w.found, func(r Reference) bool { return r.PID == pid })
	w.targets = targets
}
