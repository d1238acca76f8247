package scan

import (
	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/sys"
)

// cgroup is what a text of /proc/PID/cgroup says, which many processes have in common.
type cgroup struct {
	in     *container.Membership
	frozen bool
}

// groups are the cgroups that some processes have in common, as they were read of one of them.
type groups struct {
	cgroup *cgroup
	pid    int
	start  uint64 // as draft.start
}

// findCgroup finds the cgroup of a process, if it is wanted. Where the kernel says which processes have the same, it is read
// once for all of them.
func (w *worker) findCgroup(d *draft, s subject, leads bool) {
	if d.cgroup = w.groups[d.groups].cgroup; !w.scan.opts.has(facts.Cgroups) || d.cgroup != nil || !leads && d.groups == 0 {
		return
	}
	d.cgroup = w.readCgroup(s.dir)
	if d.groups != 0 && d.cgroup != nil && w.isStillIn(d.groups, s.pidfd) {
		w.groups[d.groups] = groups{d.cgroup, s.pid, d.start}
	}
}

// isStillIn reports whether a process is in the cgroup that it was in before its cgroups were read. Without a pidfd,
// confirm finds out.
func (w *worker) isStillIn(groups uint64, pidfd int) bool {
	if pidfd == sys.NoFD {
		return w.scan.snapshot != nil
	}
	var info sys.ScanInfo
	return sys.QuickPidfdInfo(pidfd, &info) == 0 && info.CgroupID == groups
}

// readCgroup reads the cgroup of the process with that directory, nil if it is gone.
func (w *worker) readCgroup(dir int) *cgroup {
	text, errno := w.short(facts.Cgroups, dir, &cgroupPath)
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
