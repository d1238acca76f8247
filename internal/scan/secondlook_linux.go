package scan

import (
	"slices"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/taskiter"
)

// identity is that of a process in its cgroups. The start is in nanoseconds: a PID can be reused within a clock tick.
type identity struct{ start, groups uint64 }

// confirm looks whether the processes of which /proc has told something are still those of the snapshot, and so were all
// the time. What was read of others may be of those that have their PIDs by now.
func (s *scan) confirm() {
	if !slices.ContainsFunc(s.drafts, func(d draft) bool { return d.unconfirmed }) {
		return
	}
	now := s.identities()
	var alone []int
	for i := range s.drafts {
		d := &s.drafts[i]
		if d.unconfirmed && now[i].start != d.start {
			d.cmdline = ""
		}
		if d.cgroup == nil || d.groups == 0 {
			continue
		}
		by := d.worker.groups[d.groups]
		if at, _ := slices.BinarySearch(s.pids, by.pid); now[at] != (identity{by.start, d.groups}) {
			d.cgroup = nil
		}
		if d.cgroup == nil || now[i].start == d.start && now[i].groups != d.groups {
			alone = append(alone, i)
		}
	}
	// They were to have the cgroup of another process, which has moved or ended meanwhile.
	s.share(len(alone), func(w *worker, i int) { w.readAgain(facts.Cgroups, &s.rows[alone[i]], &s.drafts[alone[i]]) })
}

// identities takes another snapshot, and returns what it says by index in scan.pids. If that fails, nothing is confirmed.
func (s *scan) identities() []identity {
	now := make([]identity, len(s.pids))
	again, err := s.snapshot.records.Again()
	if err != nil {
		s.workers[0].problem(facts.Problem{Source: facts.Details, Errno: errnoOf(err)})
		return now
	}
	var record taskiter.Task
	for i := range again.Len() {
		if !again.Task(i, &record) || record.TID != record.TGID {
			continue
		}
		if at, found := slices.BinarySearch(s.pids, record.TID); found {
			now[at] = identity{record.Start, record.Groups}
		}
	}
	return now
}

// lookAgain looks in /proc at processes that were in namespaces which are gone: they have ended, or are in others now.
func (s *scan) lookAgain() {
	var again []int
	for i := range s.rows {
		if p := &s.rows[i]; p.PID != 0 && s.isInGone(p) {
			s.drafts[i].worker.forget(p.PID)
			again = append(again, i)
		}
	}
	s.share(len(again), func(w *worker, i int) {
		w.last = [len(w.last)]*entry{}
		w.walk(again[i])
	})
}

// isInGone reports whether one of the namespaces of a process is gone, so that it is not in there any more.
func (s *scan) isInGone(p *facts.Process) bool {
	return slices.ContainsFunc(p.Namespaces.In()[:], func(ref facts.Ref) bool {
		return ref != 0 && s.table.entry(ref).state == gone
	})
}

// forget drops the references by a process.
func (w *worker) forget(pid int) {
	w.found = slices.DeleteFunc(w.found, func(r reference) bool { return int(r.row.PID) == pid && r.row.Kind != facts.ByPin })
}

// readLeaders reads command lines and cgroups of leaders, where these were not read of all.
func (s *scan) readLeaders(f *facts.Facts) {
	if s.opts.has(facts.Details) {
		return
	}
	var late []int
	for i := range f.Processes {
		p := &f.Processes[i]
		unread := p.Cmdline == nil || s.drafts[i].cgroup == nil && s.opts.has(facts.Cgroups)
		if unread && !p.State.Zombie() && f.IsLeader(i) {
			late = append(late, i)
		}
	}
	s.share(len(late), func(w *worker, i int) { w.readAgain(facts.Details, &f.Processes[late[i]], &s.drafts[late[i]]) })
}

// readAgain reads the cgroup, or with Details the command line and a cgroup that was not read, unless another process has
// the PID by now.
func (w *worker) readAgain(source facts.Sources, p *facts.Process, d *draft) {
	dir, errno := w.openProcess(source, p.PID, p.UID)
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	words, c := p.Cmdline, d.cgroup
	if source == facts.Details {
		text, errno := w.short(source, dir, &cmdlinePath)
		if errno != 0 {
			return
		}
		words, _ = splitWords(string(text), nil)
	}
	if source == facts.Cgroups || c == nil && w.scan.opts.has(facts.Cgroups) {
		c = w.readCgroup(dir)
	}
	if stat, errno := w.stat(source, dir); errno == 0 && stat.Start == p.Start {
		p.Cmdline, d.cgroup = words, c
	}
}
