package discover

import (
	"bytes"
	"strings"

	"github.com/nsops/nsops/internal/procfs"
)

// lookAtCgroup reads the cgroup of a process, if it is wanted. Where there is only version 2 the pidfd has told its
// number, and it is read once for all processes in it.
func (w *worker) lookAtCgroup(p *Process, t *texts, s subject, leads bool) {
	if !w.opts.has(Cgroups) {
		return
	}
	if w.unified && p.cgroupID != 0 {
		if known := w.byID[p.cgroupID]; known != nil {
			t.cgroup = known
			return
		}
	} else if !leads {
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
			c.path, c.unified = path, path
		case bytes.Equal(line.Controllers, []byte("name=systemd")):
			systemd = path
		case bytes.Equal(line.Controllers, []byte("freezer")):
			c.legacy = path
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
