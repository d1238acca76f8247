package discover

import "slices"

// lookAgain looks in /proc at processes that were in namespaces which are gone: they have ended, or are in others now.
func (s *scan) lookAgain() {
	for i := range s.processes {
		if p := &s.processes[i]; p.PID != 0 && p.Namespaces.gone() && s.ctx.Err() == nil {
			s.texts[i].worker.forget(p.PID)
			s.processes[i], s.texts[i] = Process{}, texts{}
			s.workers[0].last = [allLinks]*Namespace{}
			s.workers[0].walk(i)
		}
	}
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
