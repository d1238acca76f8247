package discover

import (
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// hierarchies are those of cgroups, as mounted in our mount namespace; nil is none.
type hierarchies struct {
	all   []hierarchy
	trust sys.Trust
}

type hierarchy struct {
	point, root string
	options     []string // of version 1: the controllers or the name are among them
}

func (s *scan) hierarchies() *hierarchies {
	h := &hierarchies{}
	path := raw.NewPath("thread-self/mountinfo")
	text, errno := s.reader.Whole(s.proc, &path)
	if errno != 0 && errno != syscall.ENOENT {
		return h
	}
	for m, rest, ok := procfs.NextMount(text); ok; m, rest, ok = procfs.NextMount(rest) {
		at := hierarchy{point: string(procfs.Unescape(nil, m.Point)), root: string(procfs.Unescape(nil, m.Root))}
		switch string(m.Type) {
		case "cgroup":
			at.options = strings.Split(string(m.SuperBlockOpt), ",")
			h.all = append(h.all, at)
		case "cgroup2":
			h.all = append(h.all, at)
		}
	}
	slices.Reverse(h.all) // what was mounted last may hide the others
	return h
}

// is says whether the hierarchy is of that kind, as /proc/PID/cgroup has it.
func (h *hierarchy) is(kind string) bool {
	if kind == "" {
		return h.options == nil
	}
	kind, _, _ = strings.Cut(kind, ",")
	return slices.Contains(h.options, kind)
}

// dir returns where a cgroup is to be seen, "" if nowhere.
func (h *hierarchy) dir(cgroup string) string {
	below := cgroup
	if h.root != "/" {
		var ok bool
		if below, ok = strings.CutPrefix(cgroup, h.root); !ok || below != "" && below[0] != '/' {
			return ""
		}
	}
	return path.Join(h.point, below)
}

// dir returns where a cgroup of the hierarchies of a kind is to be seen, and below which mount point.
func (h *hierarchies) dir(kind, cgroup string) (point, dir string) {
	if h == nil {
		return "", ""
	}
	for i := range h.all {
		if at := &h.all[i]; at.is(kind) {
			if dir = at.dir(cgroup); dir != "" {
				return at.point, dir
			}
		}
	}
	return "", ""
}

// proof says whether only root or the caller can have made the cgroup of a container: nobody else may write where it is,
// and it is not inside another container.
func (h *hierarchies) proof(kind string, c *Container) bool {
	if containerOf(path.Dir(c.Cgroup)) != nil {
		return false
	}
	point, dir := h.dir(kind, c.Cgroup)
	return dir != "" && h.trust.OnlyTrustedMayMake(point, dir)
}

func (h *hierarchies) frozen(c *cgroup) bool {
	return strings.Contains(h.read("", c.unified, "cgroup.events"), "frozen 1") ||
		strings.HasPrefix(h.read("freezer", c.legacy, "freezer.state"), "FROZEN")
}

// read reads a file of a cgroup, "" if the hierarchy or the cgroup is not to be seen.
func (h *hierarchies) read(kind, cgroup, file string) string {
	if cgroup == "" || cgroup == "/" {
		return ""
	}
	_, dir := h.dir(kind, cgroup)
	if dir == "" {
		return ""
	}
	return readState(path.Join(dir, file))
}
