package discover

import (
	"slices"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
)

// lateLeaders reads command lines and cgroups of leaders that were not the first to be seen in their namespaces.
func (s *scan) lateLeaders(r *Result) {
	if s.opts.has(Details) {
		return
	}
	var late []*Process
	for _, n := range r.Namespaces {
		for _, p := range n.Leaders {
			if p.Cmdline == nil && !p.Kernel && !zombie(p.State) && !slices.Contains(late, p) {
				late = append(late, p)
			}
		}
	}
	s.share(len(late), func(w *worker, i int) { w.lateLeader(late[i]) })
}

// lateLeader reads them, unless another process has the PID by now.
func (w *worker) lateLeader(p *Process) {
	w.about(p.PID, p.UID)
	dir, errno := w.openDir(Details, w.proc, w.number.Number(p.PID))
	if errno != 0 {
		return
	}
	defer raw.CloseNoWait(dir)
	text, errno := w.short(Details, dir, &cmdlinePath)
	if errno != 0 {
		return
	}
	words, _ := splitWords(string(text), nil)
	cgroup := p.cgroup
	if cgroup == nil && w.opts.has(Cgroups) {
		cgroup = w.readCgroup(dir)
	}
	if text, errno = w.quick(Details, dir, &statPath); errno != 0 {
		return
	}
	if stat, ok := procfs.ParseStat(text); !ok || stat.Start != p.Start {
		return
	}
	p.Cmdline = words
	if cgroup != nil {
		p.cgroup, p.Cgroup = cgroup, cgroup.in.Path
	}
}
