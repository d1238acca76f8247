package discover

import (
	"cmp"
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
	told := s.engines(r, hierarchies)
	found := container.Assign(memberships, told.At, func(kind string, c *container.Container) bool {
		return hierarchies.proof(kind, c, told.At)
	})
	makers := map[*container.Container]int{}
	for _, m := range memberships {
		if c := m.Container; hierarchies != nil && c != nil && !c.Proven && makers[c] == 0 {
			makers[c] = hierarchies.maker(m, told.At)
		}
	}
	public := make(map[*container.Container]*Container, len(found))
	for _, c := range found {
		if c.Proven {
			public[c] = s.describe(r, told, c)
		} else {
			told.DescribeFor(makers[c], c)
			public[c] = publicContainer(c)
		}
		r.Containers = append(r.Containers, public[c])
	}
	for _, p := range r.Processes {
		if p.cgroup != nil {
			p.Container, p.Frozen = public[p.cgroup.in.Container], p.cgroup.frozen
		}
	}
	for _, p := range r.Processes {
		p.follow()
	}
	r.relateContainers()
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
