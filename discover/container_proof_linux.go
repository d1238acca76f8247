package discover

import (
	"path"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// hierarchies are those of cgroups, as mounted in our mount namespace; nil is none.
type hierarchies struct {
	all   []container.Hierarchy
	trust sys.Trust
}

func (s *scan) hierarchies() *hierarchies {
	path := raw.NewPath("thread-self/mountinfo")
	text, errno := s.reader.Whole(s.proc, &path)
	if errno != 0 && errno != syscall.ENOENT {
		return &hierarchies{}
	}
	return &hierarchies{all: container.Hierarchies(text)}
}

// proof reports whether only root or the caller can have made the cgroup of a container.
func (h *hierarchies) proof(kind string, c *container.Container) bool {
	if h == nil {
		return false
	}
	in, _ := container.Find(h.all, kind, c.Cgroup)
	return in != nil && in.Proves(c, h.trust.OnlyTrustedMayMake)
}

func (h *hierarchies) frozen(in *container.Membership) bool {
	return strings.Contains(h.read("", in.Unified, "cgroup.events"), "frozen 1") ||
		strings.HasPrefix(h.read("freezer", in.Freezer, "freezer.state"), "FROZEN")
}

// read reads a file of a cgroup, "" if the hierarchy or the cgroup is not to be seen.
func (h *hierarchies) read(kind, cgroup, file string) string {
	if h == nil || cgroup == "" || cgroup == "/" {
		return ""
	}
	_, dir := container.Find(h.all, kind, cgroup)
	if dir == "" {
		return ""
	}
	return readState(path.Join(dir, file))
}
