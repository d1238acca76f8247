package scan

import (
	"cmp"
	"context"
	"slices"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/facts"
)

// findContainers finds the containers that processes are in, and which cgroups are frozen.
func (s *scan) findContainers(f *facts.Facts) {
	if !s.opts.has(facts.Cgroups) {
		return
	}
	known, hierarchies := s.knownCgroups()
	memberships := make([]*container.Membership, len(known))
	for i, c := range known {
		memberships[i] = c.in
	}
	found := container.Assign(memberships, hierarchies.proof)
	for _, c := range found {
		if c.Proven {
			s.nameContainer(f, c)
		}
	}
	slices.SortFunc(found, func(a, b *container.Container) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.Cgroup, b.Cgroup))
	})
	places := make(map[*container.Container]facts.Place, len(found))
	for i, c := range found {
		places[c] = facts.Place(i + 1)
		f.Containers = append(f.Containers, facts.Container{ID: facts.Text(c.ID), Runtime: c.Runtime, Name: facts.Text(c.Name),
			Pod: facts.Text(c.Pod), Cgroup: facts.Text(c.Cgroup)})
	}
	for i := range f.Processes {
		if c := s.drafts[i].cgroup; c != nil {
			p := &f.Processes[i]
			p.Cgroup, p.Container, p.Frozen = facts.Text(c.in.Path), places[c.in.Container], c.frozen
		}
	}
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

// nameContainer asks one after the other. What runtimes write down may be on a file system that does not answer; a
// Namer has the context.
func (s *scan) nameContainer(f *facts.Facts, c *container.Container) {
	note := func(name string, err error) {
		if err != nil && context.Cause(s.ctx) == nil {
			f.Problems = append(f.Problems, facts.Problem{Source: facts.Cgroups, Path: facts.Text(c.Cgroup), Errno: errnoOf(err)})
		}
		c.Name = name
	}
	own := &Container{c.ID, c.Runtime, c.Name, c.Pod, c.Cgroup}
	if c.Name == "" && !s.stateStuck {
		asked := *own
		name, err := Within(s.opts.Patience, s.ctx.Done(), func() (string, error) {
			return StateFiles{}.NameContainer(s.ctx, &asked)
		}, func(string) {})
		s.stateStuck = err != nil
		if err == nil {
			own.Runtime = asked.Runtime
		}
		note(name, err)
	}
	for _, namer := range s.opts.Namers {
		if c.Name == "" {
			note(namer(s.ctx, own))
		}
	}
	c.Runtime = own.Runtime
}
