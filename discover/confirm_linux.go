package discover

import (
	"slices"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/taskiter"
)

// life is what is the same as long as a process lives and is not moved to other cgroups. The start is in nanoseconds: a
// PID can go to another process within a clock tick.
type life struct{ start, groups uint64 }

// confirm looks whether the processes of which /proc has told something are still those of the snapshot, and so were all
// the time. What was told of others may be of those that have their PIDs by now.
func (s *scan) confirm() {
	if !slices.ContainsFunc(s.texts, func(t texts) bool { return t.unconfirmed }) {
		return
	}
	lives := make(map[int]life, len(s.pids))
	again, err := s.snapshot.Again()
	if err != nil { // nothing is confirmed
		s.workers[0].problem(Problem{Source: Details, Errno: errnoOf(err)})
		again = &taskiter.Snapshot{}
	}
	var record taskiter.Task
	var alone []int
	for i := range again.Len() {
		if again.Task(i, &record) && record.TID == record.TGID {
			lives[record.TID] = life{record.Start, record.Groups}
		}
	}
	for i := range s.texts {
		t, p := &s.texts[i], &s.processes[i]
		if t.unconfirmed && lives[p.PID].start != t.start {
			t.cmdline = span{}
		}
		if t.cgroup == nil || p.groups == 0 {
			continue
		}
		by, now := t.worker.groups[p.groups], lives[p.PID]
		if lives[by.pid] != (life{by.start, p.groups}) {
			t.cgroup = nil
		}
		if t.cgroup == nil || now.start == t.start && now.groups != p.groups {
			alone = append(alone, i)
		}
	}
	s.share(len(alone), func(w *worker, i int) { w.cgroupAlone(&s.processes[alone[i]], &s.texts[alone[i]]) })
}

// cgroupAlone reads the cgroup of a process that was to have that of another, which has moved or ended meanwhile.
func (w *worker) cgroupAlone(p *Process, t *texts) {
	w.about(p.PID, p.UID)
	dir, errno := w.openDir(Cgroups, w.proc, w.number.Number(p.PID))
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	if known := w.readCgroup(dir); w.started(p.Start, dir) {
		t.cgroup = known
	}
}
