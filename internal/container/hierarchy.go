package container

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/nsops/nsops/internal/procfs"
)

// Hierarchy is one of cgroups, as it is mounted somewhere; cgroups(7).
type Hierarchy struct {
	Point string // where it is mounted
	Root  string // the cgroup that the mount shows
	Top   string // the uppermost cgroup that any of its mounts shows

	options []string // of version 1: the controllers or the name are among them
	device  [2]uint32
}

// Hierarchies returns the hierarchies in a mountinfo, proc_pid_mountinfo(5): the one mounted last, which may hide
// others, first. What is mounted in several places is there once.
func Hierarchies(mountinfo []byte) []Hierarchy {
	const many = 16 // of version 1
	all := make([]Hierarchy, 0, many)
	for m, rest, ok := procfs.NextMount(mountinfo); ok; m, rest, ok = procfs.NextMount(rest) {
		version1 := string(m.Type) == "cgroup"
		if !version1 && string(m.Type) != "cgroup2" {
			continue
		}
		h := Hierarchy{Point: unescaped(m.Point), Root: unescaped(m.Root), device: [2]uint32{m.Major, m.Minor}}
		if version1 {
			h.options = strings.Split(string(m.SuperBlockOpt), ",")
		}
		all = append(all, h)
	}
	slices.Reverse(all)
	found := make([]Hierarchy, 0, len(all))
	for _, h := range all {
		h.Top = h.Root
		for i := range all {
			if all[i].device == h.device && len(all[i].Root) < len(h.Top) {
				h.Top = all[i].Root
			}
		}
		same := func(other Hierarchy) bool { return other.device == h.device && other.Root == h.Root }
		if !slices.ContainsFunc(found, same) {
			found = append(found, h)
		}
	}
	return found
}

func unescaped(text []byte) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text)
	}
	return string(procfs.Unescape(nil, text))
}

// is reports whether the hierarchy is of that kind, as In.Kind has it.
func (h *Hierarchy) is(kind string) bool {
	if kind == "" {
		return h.options == nil
	}
	kind, _, _ = strings.Cut(kind, ",")
	return slices.Contains(h.options, kind)
}

// Dir returns the directory of a cgroup, "" if the mount does not show it.
func (h *Hierarchy) Dir(cgroup string) string {
	below, ok := within(h.Root, cgroup)
	if !ok {
		return ""
	}
	return path.Join(h.Point, below)
}

// Cgroup returns the path of the cgroup of a directory.
func (h *Hierarchy) Cgroup(dir string) string {
	return path.Join("/", h.Root, strings.TrimPrefix(dir, h.Point))
}

// CgroupAt returns the path of the cgroup of a directory below one of the mount points.
func CgroupAt(hierarchies []Hierarchy, dir string) (cgroup string, ok bool) {
	dir = path.Clean(dir)
	longest := ""
	for i := range hierarchies {
		h := &hierarchies[i]
		if _, below := within(h.Point, dir); below && len(h.Point) > len(longest) {
			longest, cgroup = h.Point, h.Cgroup(dir)
		}
	}
	return cgroup, longest != ""
}

// Find returns the first hierarchy of a kind that shows a cgroup, and its directory; nil if there is none.
func Find(hierarchies []Hierarchy, kind, cgroup string) (h *Hierarchy, dir string) {
	for i := range hierarchies {
		if h = &hierarchies[i]; h.is(kind) {
			if dir = h.Dir(cgroup); dir != "" {
				return h, dir
			}
		}
	}
	return nil, ""
}

// Proves reports whether only root or the caller can have made the cgroup of a container: nobody else may make
// directories where it is, which onlyTrusted reports for a directory below a mount point, and it is not inside another
// container. at is as for Assign.
func (h *Hierarchy) Proves(c *Container, at func(cgroup string) *Container,
	onlyTrusted func(point, dir string) bool) bool {
	dir := h.Dir(c.Cgroup)
	return dir != "" && !h.IsNested(c, at) && onlyTrusted(h.Point, dir)
}

// IsNested reports whether the cgroup of a container is inside another container, as far up as the hierarchy shows.
func (h *Hierarchy) IsNested(c *Container, at func(cgroup string) *Container) bool {
	for above := path.Dir(c.Cgroup); len(above) > len(h.Top); above = path.Dir(above) {
		if at(above) != nil {
			return true
		}
	}
	return false
}

// within returns the part of a cgroup's path below another cgroup.
func within(top, cgroup string) (below string, ok bool) {
	if top == "/" {
		return cgroup, true
	}
	below, ok = strings.CutPrefix(cgroup, top)
	return below, ok && (below == "" || below[0] == '/')
}
