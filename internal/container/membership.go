package container

import (
	"strings"

	"github.com/nsops/nsops/internal/procfs"
)

// Membership is a text of /proc/PID/cgroup, which many processes have in common: the cgroups that they are in.
type Membership struct {
	Path      string // of version 2, or else of the hierarchy of version 1 that says most
	Unified   string // of version 2, "" if there is none
	Freezer   string // of the freezer of version 1, "" if there is none
	In        []In   // in each hierarchy
	Container *Container
}

// In is a cgroup that a process is in.
type In struct {
	Kind string // of the hierarchy: its controllers, or a name, or nothing for version 2
	Path string
}

// ParseMembership takes the path of version 2, unless that says nothing, then that of systemd, then the longest.
func ParseMembership(text []byte) *Membership {
	m := &Membership{}
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
