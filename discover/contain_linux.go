package discover

import (
	"cmp"
	"context"
	"slices"

	"github.com/nsops/nsops/internal/container"
)

// contain finds the containers that processes are in, and which cgroups are frozen. A process whose cgroup was not
// looked at is in the container of the leader of its PID namespace, or else of its mount namespace.
func (s *scan) contain(r *Result) {
	if !s.opts.has(Cgroups) {
		return
	}
	known, hierarchies := s.knownCgroups()
	memberships := make([]*container.Membership, len(known))
	for i, c := range known {
		memberships[i] = c.in
	}
	found := container.Assign(memberships, hierarchies.proof)
	public := make(map[*container.Container]*Container, len(found))
	for _, c := range found {
		public[c] = &Container{ID: c.ID, Runtime: c.Runtime, Name: c.Name, Pod: c.Pod, Cgroup: c.Cgroup}
	}
	for _, p := range r.Processes {
		if p.cgroup != nil {
			p.Container, p.Frozen = public[p.cgroup.in.Container], p.cgroup.frozen
		}
	}
	for _, p := range r.Processes {
		p.follow()
	}
	for _, c := range found {
		if c.Proven {
			s.nameContainer(r, public[c])
		}
		r.Containers = append(r.Containers, public[c])
	}
	slices.SortFunc(r.Containers, func(a, b *Container) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.Cgroup, b.Cgroup))
	})
}

// knownCgroups returns the cgroups that were read, sorted, and finds out which are frozen.
func (s *scan) knownCgroups() ([]*cgroup, *hierarchies) {
	var known []*cgroup
	var hierarchies *hierarchies
	for _, w := range s.workers {
		for _, c := range w.cgroups {
			if hierarchies == nil && len(c.in.Path) > 1 {
				hierarchies = s.hierarchies()
			}
			c.frozen = hierarchies.frozen(c.in)
			known = append(known, c)
		}
	}
	slices.SortFunc(known, func(a, b *cgroup) int {
		return slices.CompareFunc(a.in.In, b.in.In, func(a, b container.In) int { return cmp.Compare(a.Path, b.Path) })
	})
	return known, hierarchies
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
