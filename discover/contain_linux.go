package discover

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// contain finds the containers that processes are in, and which cgroups are frozen. A process whose cgroup was not
// looked at is in the container of the leader of its PID namespace, or else of its mount namespace.
func (s *scan) contain(r *Result) {
	if !s.opts.has(Cgroups) {
		return
	}
	known, hierarchies := s.knownCgroups()
	containers, proven := containersIn(known, hierarchies.proof)
	for _, p := range r.Processes {
		if p.cgroup != nil {
			p.Container, p.Frozen = p.cgroup.container, p.cgroup.frozen
		}
	}
	for _, p := range r.Processes {
		p.follow()
	}
	for _, c := range containers {
		if proven[c] {
			s.nameContainer(r, c)
		}
		r.Containers = append(r.Containers, c)
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
			if hierarchies == nil && len(c.path) > 1 {
				hierarchies = s.hierarchies()
			}
			c.frozen = hierarchies.frozen(c)
			known = append(known, c)
		}
	}
	slices.SortFunc(known, func(a, b *cgroup) int { return slices.Compare(a.paths, b.paths) })
	return known, hierarchies
}

// home is the cgroup of a container in one of the hierarchies.
type home struct {
	hierarchy int
	cgroup    string
}

// containersIn finds the containers that cgroups belong to. Those of different users or runtimes may have the same name;
// what has a cgroup in common is the same. Proven are those whose cgroup only root or the caller can have made.
func containersIn(known []*cgroup, proof func(kind string, c *Container) bool) (all []*Container, proven map[*Container]bool) {
	proven = map[*Container]bool{}
	ids := map[string]bool{} // of the proven
	claims := make([][]*Container, len(known))
	for i, c := range known {
		claims[i] = make([]*Container, len(c.paths)) // by hierarchy
		for j, p := range c.paths {
			claim := containerOf(p)
			outside := strings.HasPrefix(p, "/../") // of our cgroup namespace: it is not to be seen
			if claim != nil && !outside && proof(c.kinds[j], claim) {
				proven[claim], ids[claim.ID] = true, true
			}
			claims[i][j] = claim
		}
	}
	at := map[home]*Container{}
	for i, c := range known {
		if c.container = choose(claims[i], proven, ids); c.container == nil {
			continue
		}
		var homes []home
		for j, other := range claims[i] {
			if other != nil && other.ID == c.container.ID {
				homes = append(homes, home{j, other.Cgroup})
			}
		}
		if j := slices.IndexFunc(homes, func(h home) bool { return at[h] != nil }); j >= 0 {
			c.container = at[homes[j]]
		} else {
			all = append(all, c.container)
		}
		for _, h := range homes {
			at[h] = c.container
		}
	}
	return all, proven
}

// choose returns the first container that is proven and tells its runtime. One that is not proven counts only if no
// other is, in any hierarchy, and not with the ID of one that is: users may give their cgroups the names of containers.
func choose(claims []*Container, proven map[*Container]bool, ids map[string]bool) (chosen *Container) {
	for _, c := range claims {
		switch {
		case c == nil, !proven[c] && ids[c.ID]:
		case chosen == nil, proven[c] && !proven[chosen], proven[c] == proven[chosen] && chosen.Runtime == "":
			chosen = c
		}
	}
	return chosen
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
