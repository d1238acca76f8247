package scan

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/nsops/nsops/internal/facts"
)

// findContainers finds the containers that processes are in, and which cgroups are frozen.
func (s *scan) findContainers(f *facts.Facts) {
	if !s.opts.has(facts.Cgroups) {
		return
	}
	known, hierarchies := s.knownCgroups()
	containers, proven := containersIn(known, hierarchies.proof)
	for _, c := range containers {
		if proven[c] {
			s.nameContainer(f, c)
		}
	}
	slices.SortFunc(containers, func(a, b *Container) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.Cgroup, b.Cgroup))
	})
	places := make(map[*Container]facts.Place, len(containers))
	for i, c := range containers {
		places[c] = facts.Place(i + 1)
		f.Containers = append(f.Containers, facts.Container{ID: facts.Text(c.ID), Runtime: c.Runtime, Name: facts.Text(c.Name),
			Pod: facts.Text(c.Pod), Cgroup: facts.Text(c.Cgroup)})
	}
	for i := range f.Processes {
		if c := s.drafts[i].cgroup; c != nil {
			p := &f.Processes[i]
			p.Cgroup, p.Container, p.Frozen = facts.Text(c.path), places[c.container], c.frozen
		}
	}
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

// nameContainer asks one after the other. What runtimes write down may be on a file system that does not answer; a
// Namer has the context.
func (s *scan) nameContainer(f *facts.Facts, c *Container) {
	note := func(name string, err error) {
		if err != nil && context.Cause(s.ctx) == nil {
			f.Problems = append(f.Problems, facts.Problem{Source: facts.Cgroups, Path: facts.Text(c.Cgroup), Errno: errnoOf(err)})
		}
		c.Name = name
	}
	if c.Name == "" && !s.stateStuck {
		own := &Container{ID: c.ID, Runtime: c.Runtime}
		name, err := Within(s.opts.Patience, s.ctx.Done(), func() (string, error) {
			return StateFiles{}.NameContainer(s.ctx, own)
		}, func(string) {})
		s.stateStuck = err != nil
		if err == nil {
			c.Runtime = own.Runtime
		}
		note(name, err)
	}
	for _, namer := range s.opts.Namers {
		if c.Name == "" {
			note(namer(s.ctx, c))
		}
	}
}
