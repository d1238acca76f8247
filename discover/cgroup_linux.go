package discover

import (
	"bytes"
	"strings"

	"github.com/nsops/nsops/internal/procfs"
)

// cgroup is what a text of /proc/PID/cgroup says, which many processes have in common.
type cgroup struct {
	path      string   // see Process.Cgroup
	freezer   string   // where the freezer is: of version 2, or of that hierarchy
	unified   bool     // freezer is of version 2
	paths     []string // of all hierarchies
	frozen    bool
	container *Container
}

// lookAtCgroup finds the cgroup of a process, if it is wanted. Where there is only version 2 the pidfd has told its
// number, and it is read once for all processes in it.
func (w *worker) lookAtCgroup(p *Process, t *texts, s subject, leads bool) {
	if !w.opts.has(Cgroups) {
		return
	}
	if t.cgroup = w.knownCgroup(p, t); t.cgroup != nil || !leads && !w.unified {
		return
	}
	text, errno := w.read.Short(s.dir, &cgroupPath)
	if errno != 0 {
		return
	}
	known := w.cgroups[string(text)]
	if known == nil {
		known = parseCgroup(text)
		w.cgroups[string(text)] = known
	}
	if w.unified && p.cgroupID != 0 {
		w.byID[p.cgroupID] = known
	}
	t.cgroup = known
}

// knownCgroup returns the cgroup of a process if it need not be read; else nil.
func (w *worker) knownCgroup(p *Process, t *texts) *cgroup {
	if w.unified && p.cgroupID != 0 {
		return w.byID[p.cgroupID]
	}
	if t.kept == nil {
		return nil
	}
	path := t.kept.Cgroup
	if w.cgroups[path] == nil && w.old.result.groups[path] != nil {
		again := *w.old.result.groups[path] // it may be frozen by now
		w.cgroups[path] = &again
	}
	return w.cgroups[path]
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

// parseCgroup takes the path of version 2, unless that says nothing, then that of systemd, then the longest.
func parseCgroup(text []byte) *cgroup {
	c := &cgroup{}
	var systemd, longest string
	for line, rest, ok := procfs.NextCgroup(text); ok; line, rest, ok = procfs.NextCgroup(rest) {
		path := strings.TrimSuffix(string(line.Path), " (deleted)")
		c.paths = append(c.paths, path)
		switch {
		case line.Hierarchy == 0:
			c.path = path
			if c.freezer == "" {
				c.freezer, c.unified = path, true
			}
		case bytes.Equal(line.Controllers, []byte("name=systemd")):
			systemd = path
		case bytes.Equal(line.Controllers, []byte("freezer")):
			c.freezer, c.unified = path, false
		}
		if len(path) > len(longest) {
			longest = path
		}
	}
	for _, better := range []string{systemd, longest} {
		if len(c.path) <= 1 && better != "" {
			c.path = better
		}
	}
	return c
}
