package discover

import (
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/sys"
)

// lateCgroups reads the cgroups of leaders that were not the first to be seen in their namespaces.
func (s *scan) lateCgroups(r *Result) {
	if !s.opts.has(Cgroups) || s.opts.has(AllCgroups) || s.unified {
		return
	}
	w := s.workers[0]
	for _, n := range r.Namespaces {
		if p := n.Leader; p != nil && p.Cgroup == "" && !zombie(p.State) && s.ctx.Err() == nil {
			w.lateCgroup(p)
		}
	}
}

// lateCgroup reads a cgroup, unless another process has the PID by now.
func (w *worker) lateCgroup(p *Process) {
	dir, errno := sys.QuickOpen(w.proc, w.number.Number(p.PID), sys.ScanBase)
	if errno != 0 {
		return
	}
	defer sys.QuickClose(dir)
	text, errno := w.read.Short(dir, &cgroupPath)
	if errno != 0 {
		return
	}
	known := w.cgroups[string(text)]
	if known == nil {
		known = parseCgroup(text)
		w.cgroups[string(text)] = known
	}
	if text, errno = w.read.Quick(dir, &statPath); errno != 0 {
		return
	}
	if stat, ok := procfs.ParseStat(text); !ok || stat.Start != p.Start {
		return
	}
	p.Cgroup = known.path
}
