package container

import (
	"slices"
	"strings"
)

// home is the cgroup of a container in one of the hierarchies.
type home struct {
	hierarchy int
	cgroup    string
}

// Assign finds the containers that processes are in, and sets Container of each Membership. Containers of different users
// or runtimes may have the same name; what has a cgroup in common is the same. proof tells whether a cgroup in a hierarchy
// of that kind proves its container; see [Hierarchy.Proves].
func Assign(known []*Membership, proof func(kind string, c *Container) bool) (all []*Container) {
	ids := map[string]bool{} // of the proven
	claims := make([][]*Container, len(known))
	for i, m := range known {
		claims[i] = make([]*Container, len(m.In)) // by hierarchy
		for j, in := range m.In {
			claim := Of(in.Path)
			outside := strings.HasPrefix(in.Path, "/../") // of our cgroup namespace: it is not to be seen
			if claim != nil && !outside && proof(in.Kind, claim) {
				claim.Proven, ids[claim.ID] = true, true
			}
			claims[i][j] = claim
		}
	}
	at := map[home]*Container{}
	for i, m := range known {
		if m.Container = choose(claims[i], ids); m.Container == nil {
			continue
		}
		var homes []home
		for j, other := range claims[i] {
			if other != nil && other.ID == m.Container.ID {
				homes = append(homes, home{j, other.Cgroup})
			}
		}
		if j := slices.IndexFunc(homes, func(h home) bool { return at[h] != nil }); j >= 0 {
			m.Container = at[homes[j]]
		} else {
			all = append(all, m.Container)
		}
		for _, h := range homes {
			at[h] = m.Container
		}
	}
	return all
}

// choose returns the first container that is proven and tells its runtime. One that is not proven counts only if no
// other is, in any hierarchy, and not with the ID of one that is: users may give their cgroups the names of containers.
func choose(claims []*Container, ids map[string]bool) (chosen *Container) {
	for _, c := range claims {
		switch {
		case c == nil, !c.Proven && ids[c.ID]:
		case chosen == nil, c.Proven && !chosen.Proven, c.Proven == chosen.Proven && chosen.Runtime == "":
			chosen = c
		}
	}
	return chosen
}
