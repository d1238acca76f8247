package discover

import (
	"cmp"
	"slices"
	"strings"
)

// MountTable is the mounts of one mount namespace, as its root sees them, or else as processes with another root do.
type MountTable struct {
	Namespace *Namespace
	Mounts    []*Mount     // sorted by ID
	Paths     []*MountPath // where something is mounted, sorted by path
}

// Mount is one mount; see proc_pid_mountinfo(5).
type Mount struct {
	ID, ParentID int    // used again once the mount is gone
	Serial       uint64 // the 64-bit ID that is never used again; 0 if not known
	Dev          string // of the file system, such as "0:25"
	Root         string // what of the file system is mounted
	Point        string // where
	Options      string // of the mount; "" where the kernel was asked for each mount, as no process sees all of them
	Type         string // of the file system
	Source       string
	SuperOptions string // of the file system; "" as Options is
	Propagation  string // such as "shared:1 master:2"; "" is private

	// Hidden reports that nothing of it can be reached, since something else is mounted over it or a directory above.
	Hidden bool

	Parent   *Mount   // nil: it is the root, or its parent is out of sight
	Children []*Mount // sorted by ID

	level int // number of mounts that it stands on
}

// MountPath is a path with at least one mount.
type MountPath struct {
	Path     string
	Mounts   []*Mount     // on it, from the lowest to the highest; but what is seen is last
	Parent   *MountPath   // the next mount point above
	Children []*MountPath // the next ones below, sorted by path
}

// Visible returns the mount that a path leads to, nil if all are out of sight.
func (p *MountPath) Visible() *Mount {
	for i := len(p.Mounts) - 1; i >= 0; i-- {
		if !p.Mounts[i].Hidden {
			return p.Mounts[i]
		}
	}
	return nil
}

// Path returns where something is mounted in that place, nil if nothing is.
func (t *MountTable) Path(name string) *MountPath {
	return find(t.Paths, name, func(p *MountPath) string { return p.Path })
}

// arrange makes the trees, and finds out what is hidden. It needs an empty map, and leaves it empty.
func (t *MountTable) arrange(byPath map[string]*MountPath) {
	slices.SortFunc(t.Mounts, func(a, b *Mount) int { return cmp.Compare(a.ID, b.ID) })
	for _, m := range t.Mounts {
		if parent := find(t.Mounts, m.ParentID, func(m *Mount) int { return m.ID }); parent != nil && parent != m {
			m.Parent, parent.Children = parent, append(parent.Children, m)
		}
	}
	for _, m := range t.Mounts {
		if m.Parent == nil {
			m.hide(false, 0)
		}
	}
	t.arrangePaths(byPath)
	clear(byPath)
}

// maxDepth keeps nonsense that was read from JSON from nesting forever.
const maxDepth = 100_000

// hide marks a mount and those in it: one is hidden by one on its own root, or by a sibling on a directory above.
func (m *Mount) hide(hidden bool, depth int) {
	if depth > maxDepth {
		return
	}
	points := make(map[string]bool, len(m.Children))
	for _, c := range m.Children {
		points[c.Point] = true
	}
	m.Hidden, m.level = hidden || points[m.Point], depth
	for _, c := range m.Children {
		covers := c.Point == m.Point
		c.hide(hidden || !covers && (points[m.Point] || covered(c.Point, m.Point, points)), depth+1)
	}
}

// covered reports whether one of the points is a directory above, but below root.
func covered(point, root string, points map[string]bool) bool {
	for dir := above(point); len(dir) > len(root); dir = above(dir) {
		if points[dir] {
			return true
		}
	}
	return false
}

// above returns the directory that a path is in, "/" at last, and "" for that and for what is no path. Clean paths are
// all that the kernel writes, and the slow way of package path is not for those that are nonsense.
func above(name string) string {
	switch at := strings.LastIndexByte(name, '/'); {
	case len(name) <= 1 || at < 0:
		return ""
	case at == 0:
		return "/"
	default:
		return name[:at]
	}
}

// compareSight puts what is out of sight first. By level alone it might come last: with what a mount stands on, it may be
// covered by one further up, and what is seen stands on that.
func compareSight(a, b *Mount) int {
	switch {
	case a.Hidden == b.Hidden:
		return a.level - b.level
	case a.Hidden:
		return -1
	}
	return 1
}

func (t *MountTable) arrangePaths(byPath map[string]*MountPath) {
	room := make([]MountPath, 0, len(t.Mounts))
	for i, m := range t.Mounts {
		if p := byPath[m.Point]; p != nil {
			p.Mounts = append(p.Mounts, m)
			continue
		}
		room = append(room, MountPath{Path: m.Point, Mounts: t.Mounts[i : i+1 : i+1]})
		byPath[m.Point] = &room[len(room)-1]
	}
	t.Paths = pointers(room)
	slices.SortFunc(t.Paths, func(a, b *MountPath) int { return strings.Compare(a.Path, b.Path) })
	for _, p := range t.Paths {
		slices.SortStableFunc(p.Mounts, compareSight)
		for dir := above(p.Path); dir != ""; dir = above(dir) {
			if parent := byPath[dir]; parent != nil && parent != p {
				p.Parent = parent
				parent.Children = append(parent.Children, p)
				break
			}
		}
	}
}
