package discover

import (
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/sys"
)

// lateLeaders reads command lines and cgroups of leaders that were not the first to be seen in their namespaces.
func (s *scan) lateLeaders(r *Result) {
	if s.opts.has(Details) {
		return
	}
	w := s.workers[0]
	for _, n := range r.Namespaces {
		for _, p := range n.Leaders {
			if p.Cmdline == nil && !p.Kernel && !zombie(p.State) && s.ctx.Err() == nil {
				w.lateLeader(p)
			}
		}
	}
}

// lateLeader reads them, unless another process has the PID by now.
func (w *worker) lateLeader(p *Process) {
	dir, errno := sys.QuickOpen(w.proc, w.number.Number(p.PID), sys.ScanBase)
	if errno != 0 {
		return
	}
	defer sys.QuickClose(dir)
	text, errno := w.read.Short(dir, &cmdlinePath)
	if errno != 0 {
		return
	}
	words, _ := splitWords(string(text), nil)
	cgroup := p.cgroup
	if cgroup == nil && w.opts.has(Cgroups) {
		cgroup = w.readCgroup(dir)
	}
	if text, errno = w.read.Quick(dir, &statPath); errno != 0 {
		return
	}
	if stat, ok := procfs.ParseStat(text); !ok || stat.Start != p.Start {
		return
	}
	p.Cmdline = words
	if cgroup != nil {
		p.cgroup, p.Cgroup = cgroup, cgroup.path
	}
}
