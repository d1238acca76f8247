package container

import (
	"bytes"
	"slices"
	"strings"

	"github.com/nsops/nsops/internal/procfs"
)

// Membership is a text of /proc/PID/cgroup, the same for many processes: the cgroups that they are in.
type Membership struct {
	Path      string // of version 2, or else the most specific one of version 1
	Unified   string // of version 2, "" if there is none
	Freezer   string // of the freezer of version 1, "" if there is none
	In        []In   // in each hierarchy
	Container *Container
}

// IsBelowTop reports whether a process is in another cgroup than that at the top, in any hierarchy.
func (m *Membership) IsBelowTop() bool {
	return slices.ContainsFunc(m.In, func(in In) bool { return in.Path != "/" })
}

// In is a cgroup that a process is in.
type In struct {
	Kind string // of the hierarchy: its controllers, or a name, or nothing for version 2
	Path string
}

// ParseMembership parses the text. Path is that of version 2, or if that is the top, that of systemd, or else the
// longest.
func ParseMembership(text []byte) *Membership {
	m := &Membership{In: make([]In, 0, bytes.Count(text, []byte{'\n'}))}
	var systemd, longest string
	for line, rest, ok := procfs.NextCgroup(text); ok; line, rest, ok = procfs.NextCgroup(rest) {
		in := In{string(line.Controllers), strings.TrimSuffix(string(line.Path), " (deleted)")}
		m.In = append(m.In, in)
		switch {
		case line.Hierarchy == 0:
			m.Path, m.Unified = in.Path, in.Path
		case in.Kind == "name=systemd":
			systemd = in.Path
		case in.Kind == "freezer":
			m.Freezer = in.Path
		}
		if len(in.Path) > len(longest) {
			longest = in.Path
		}
	}
	for _, better := range []string{systemd, longest} {
		if len(m.Path) <= 1 && better != "" {
			m.Path = better
		}
	}
	return m
}

// home is the cgroup of a container in one of the hierarchies.
type home struct {
	hierarchy int
	cgroup    string
}

// Assign returns the containers that processes are in, and sets Container of each Membership. Containers of different
// users or runtimes may have the same name; those with a cgroup in common are the same. proof reports whether a cgroup
// in a hierarchy of that kind proves its container; see [Hierarchy.Proves]. at is At, or one that finds more.
func Assign(known []*Membership, at func(cgroup string) *Container,
	proof func(kind string, c *Container) bool) (all []*Container) {
	ids := map[string]bool{} // of the proven
	claims := make([][]*Container, len(known))
	for i, m := range known {
		claims[i] = make([]*Container, len(m.In)) // by hierarchy
		for j, in := range m.In {
			claim := of(in.Path, at)
			outside := strings.HasPrefix(in.Path, "/../") // of our cgroup namespace, so that no mount shows it
			if claim != nil && !outside && proof(in.Kind, claim) {
				claim.Proven, ids[claim.ID] = true, true
			}
			claims[i][j] = claim
		}
	}
	homeOf := map[home]*Container{}
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
		if j := slices.IndexFunc(homes, func(h home) bool { return homeOf[h] != nil }); j >= 0 {
			m.Container = homeOf[homes[j]]
		} else {
			all = append(all, m.Container)
		}
		for _, h := range homes {
			homeOf[h] = m.Container
		}
	}
	return all
}

// choose returns the first container that is proven and has a runtime. One that is not proven counts only if no other
// is, in any hierarchy, and not with the ID of one that is: users may give their cgroups the names of containers.
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
