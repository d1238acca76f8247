package discover

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/sys"
)

// contain finds the containers that processes are in, and which cgroups are frozen. A process whose cgroup was not
// looked at is in the container of the leader of its PID namespace, or else of its mount namespace.
func (s *scan) contain(r *Result) {
	if !s.opts.has(Cgroups) {
		return
	}
	containers := containersIn(s.knownCgroups())
	for _, p := range r.Processes {
		if p.cgroup != nil {
			p.Container, p.Frozen = p.cgroup.container, p.cgroup.frozen
		}
	}
	for _, p := range r.Processes {
		p.follow()
	}
	for _, c := range containers {
		s.nameContainer(r, c)
		r.Containers = append(r.Containers, c)
	}
	slices.SortFunc(r.Containers, func(a, b *Container) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.Cgroup, b.Cgroup))
	})
}

// knownCgroups returns the cgroups that were read, sorted, and finds out which are frozen.
func (s *scan) knownCgroups() []*cgroup {
	var known []*cgroup
	var freezers *freezers
	for _, w := range s.workers {
		for _, c := range w.cgroups {
			if freezers == nil && (len(c.unified) > 1 || len(c.legacy) > 1) {
				freezers = s.freezers()
			}
			c.frozen = freezers.frozen(c)
			known = append(known, c)
		}
	}
	slices.SortFunc(known, func(a, b *cgroup) int { return slices.Compare(a.paths, b.paths) })
	return known
}

// home is the cgroup of a container in one of the hierarchies.
type home struct {
	hierarchy int
	cgroup    string
}

// containersIn finds the containers that cgroups belong to. Those of different users or runtimes may have the same name;
// what has a cgroup in common is the same.
func containersIn(known []*cgroup) []*Container {
	var all []*Container
	at := map[home]*Container{}
	for _, c := range known {
		in := make([]*Container, len(c.paths)) // by hierarchy
		for i, p := range c.paths {
			in[i] = containerOf(p)
			if in[i] != nil && (c.container == nil || c.container.Runtime == "") {
				c.container = in[i]
			}
		}
		if c.container == nil {
			continue
		}
		var homes []home
		for i, other := range in {
			if other != nil && other.ID == c.container.ID {
				homes = append(homes, home{i, other.Cgroup})
			}
		}
		if i := slices.IndexFunc(homes, func(h home) bool { return at[h] != nil }); i >= 0 {
			c.container = at[homes[i]]
		} else {
			all = append(all, c.container)
		}
		for _, h := range homes {
			at[h] = c.container
		}
	}
	return all
}

// follow takes the container of the leader, if the process's own cgroup is not known.
func (p *Process) follow() {
	if p.Cgroup != "" {
		return
	}
	for _, i := range [...]int{pidSlot, mntSlot} {
		if n := p.Namespaces[i]; n != nil && !n.Initial && n.Leader != nil {
			p.Container, p.Frozen = n.Leader.Container, n.Leader.Frozen
			return
		}
	}
}

// nameContainer asks one after the other. What runtimes write down may be on a file system that does not answer; a
// Namer has the context.
func (s *scan) nameContainer(r *Result, c *Container) {
	note := func(name string, err error) {
		if err != nil && context.Cause(s.ctx) == nil {
			r.Problems = append(r.Problems, Problem{Source: Cgroups, Path: c.Cgroup, Errno: errnoOf(err)})
		}
		c.Name = name
	}
	if c.Name == "" && !s.mounts.stateStuck {
		own := &Container{ID: c.ID, Runtime: c.Runtime}
		name, err := within(s.opts.Patience, s.ctx.Done(), func() (string, error) {
			return StateFiles{}.NameContainer(s.ctx, own)
		}, func(string) {})
		s.mounts.stateStuck = err != nil
		if err == nil {
			c.Runtime = own.Runtime
		}
		note(name, err)
	}
	for _, namer := range s.opts.Namers {
		if c.Name == "" {
			note(namer.NameContainer(s.ctx, c))
		}
	}
}

// freezers are where cgroups can be frozen, as mounted in our mount namespace.
type freezers struct{ unified, legacy hierarchy }

type hierarchy struct{ point, root string }

func (s *scan) freezers() *freezers {
	f := &freezers{}
	path := sys.NewPath("thread-self/mountinfo")
	text, errno := s.reader.Whole(s.proc, &path)
	if errno != 0 && errno != syscall.ENOENT {
		return f
	}
	for m, rest, ok := procfs.NextMount(text); ok; m, rest, ok = procfs.NextMount(rest) {
		at := hierarchy{string(procfs.Unescape(nil, m.Point)), string(procfs.Unescape(nil, m.Root))}
		switch {
		case string(m.Type) == "cgroup2":
			f.unified = at
		case string(m.Type) == "cgroup" && slices.Contains(strings.Split(string(m.SuperBlockOpt), ","), "freezer"):
			f.legacy = at
		}
	}
	return f
}

func (f *freezers) frozen(c *cgroup) bool {
	return f != nil && (strings.Contains(f.unified.read(c.unified, "cgroup.events"), "frozen 1") ||
		strings.HasPrefix(f.legacy.read(c.legacy, "freezer.state"), "FROZEN"))
}

// read reads a file of a cgroup, "" if the hierarchy or the cgroup is not to be seen.
func (h *hierarchy) read(cgroup, file string) string {
	if h.point == "" || cgroup == "" || cgroup == "/" {
		return ""
	}
	if h.root != "/" {
		below, ok := strings.CutPrefix(cgroup, h.root)
		if !ok || below != "" && below[0] != '/' {
			return ""
		}
		cgroup = below
	}
	return readState(path.Join(h.point, cgroup, file))
}
