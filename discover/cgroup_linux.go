package discover

import (
	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/raw"
)

// groups are the cgroups that some processes have in common, as they were read of one of them.
type groups struct {
	cgroup *cgroup
	pid    int
	start  uint64 // as texts.start
}

// lookAtCgroup finds the cgroup of a process, if it is wanted. Where the kernel says which processes have the same, it is
// read once for all of them.
func (w *worker) lookAtCgroup(p *Process, t *texts, s subject, leads bool) {
	if t.cgroup = w.groups[p.groups].cgroup; !w.opts.has(Cgroups) || t.cgroup != nil || !leads && p.groups == 0 {
		return
	}
	t.cgroup = w.readCgroup(s.dir)
	if p.groups != 0 && t.cgroup != nil && w.stillIn(p.groups, s.pidfd) {
		w.groups[p.groups] = groups{t.cgroup, p.PID, t.start}
	}
}

// stillIn says whether a process is in the cgroup that it was in before its cgroups were read. Without a pidfd, confirm
// does.
func (w *worker) stillIn(groups uint64, pidfd int) bool {
	if pidfd == raw.NoFD {
		return w.snapshot != nil
	}
	var info raw.ProcessInfo
	return raw.PidfdInfo(pidfd, &info) == 0 && info.CgroupID == groups
}

// readCgroup reads the cgroup of the process with that directory, nil if it is gone.
func (w *worker) readCgroup(dir int) *cgroup {
	text, errno := w.short(Cgroups, dir, &cgroupPath)
	if errno != 0 {
		return nil
	}
	known := w.cgroups[string(text)]
	if known == nil {
		known = &cgroup{in: container.ParseMembership(text)}
		w.cgroups[string(text)] = known
	}
	return known
}

// first says whether the process is the first to have been seen in one of its namespaces. The first is mostly the
// leader; leaders that are not are read later.
func (w *worker) first(p *Process) bool {
	for _, n := range p.Namespaces {
		if n != nil && w.table.claim(n, p.PID) {
			return true
		}
	}
	return false
}
