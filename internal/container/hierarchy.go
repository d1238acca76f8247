package container

import (
	"path"
	"slices"
	"strings"

	"github.com/nsops/nsops/internal/procfs"
)

// Hierarchy is one of cgroups, as it is mounted somewhere; cgroups(7).
type Hierarchy struct {
	Point string // where it is mounted
	Root  string // the cgroup that is to be seen there
	Top   string // the uppermost cgroup that any of its mounts shows

	options []string // of version 1: the controllers or the name are among them
}

// Hierarchies returns the hierarchies in a mountinfo, proc_pid_mountinfo(5): the one mounted last, which may hide others,
// first. What is mounted in several places is there once.
func Hierarchies(mountinfo []byte) []Hierarchy {
	type device struct{ major, minor uint32 }
	var all []Hierarchy
	var devices []device
	tops := map[device]string{}
	for m, rest, ok := procfs.NextMount(mountinfo); ok; m, rest, ok = procfs.NextMount(rest) {
		h := Hierarchy{Point: string(procfs.Unescape(nil, m.Point)), Root: string(procfs.Unescape(nil, m.Root))}
		switch string(m.Type) {
		case "cgroup":
			h.options = strings.Split(string(m.SuperBlockOpt), ",")
		case "cgroup2":
		default:
			continue
		}
		on := device{m.Major, m.Minor}
		all, devices = append(all, h), append(devices, on)
		if top, known := tops[on]; !known || len(h.Root) < len(top) {
			tops[on] = h.Root
		}
	}
	var found []Hierarchy
	seen := map[device][]string{}
	for i, h := range slices.Backward(all) {
		if on := devices[i]; !slices.Contains(seen[on], h.Root) {
			seen[on] = append(seen[on], h.Root)
			h.Top = tops[on]
			found = append(found, h)
		}
	}
	return found
}

// is reports whether the hierarchy is of that kind, as In.Kind has it.
func (h *Hierarchy) is(kind string) bool {
	if kind == "" {
		return h.options == nil
	}
	kind, _, _ = strings.Cut(kind, ",")
	return slices.Contains(h.options, kind)
}

// Dir returns where a cgroup is to be seen, "" if nowhere.
func (h *Hierarchy) Dir(cgroup string) string {
	below, ok := within(h.Root, cgroup)
	if !ok {
		return ""
	}
	return path.Join(h.Point, below)
}

// Cgroup returns the path of the cgroup that is to be seen in a directory.
func (h *Hierarchy) Cgroup(dir string) string {
	return path.Join("/", h.Root, strings.TrimPrefix(dir, h.Point))
}

// Find returns where a cgroup of the hierarchies of a kind is to be seen. It is nil if nowhere.
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
// directories where it is, which onlyTrusted tells of a directory below a mount point, and it is not inside another
// container, as far up as the hierarchy shows.
func (h *Hierarchy) Proves(c *Container, onlyTrusted func(point, dir string) bool) bool {
	below, ok := within(h.Top, c.Cgroup)
	dir := h.Dir(c.Cgroup)
	return ok && dir != "" && Of(path.Dir(path.Clean("/"+below))) == nil && onlyTrusted(h.Point, dir)
}

// within returns the part of a cgroup's path below another cgroup.
func within(top, cgroup string) (below string, ok bool) {
	if top == "/" {
		return cgroup, true
	}
	below, ok = strings.CutPrefix(cgroup, top)
	return below, ok && (below == "" || below[0] == '/')
}
