package discover

import (
	"bytes"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
	"github.com/nsops/nsops/internal/sys"
)

// hierarchies are those of cgroups, as mounted in our mount namespace; nil is none.
type hierarchies struct {
	all       []container.Hierarchy
	mountinfo []byte
	trust     sys.Trust
}

func (s *scan) hierarchies() *hierarchies {
	path := sys.NewPath("thread-self/mountinfo")
	text, errno := s.reader.Whole(s.proc, &path)
	if errno != 0 && errno != syscall.ENOENT {
		return &hierarchies{}
	}
	return &hierarchies{all: container.Hierarchies(text), mountinfo: bytes.Clone(text)}
}

// proof reports whether only root or the caller can have made the cgroup of a container.
func (h *hierarchies) proof(kind string, c *container.Container, at func(string) *container.Container) bool {
	if h == nil {
		return false
	}
	in, _ := container.Find(h.all, kind, c.Cgroup)
	return in != nil && in.Proves(c, at, h.trust.OnlyTrustedMayMake)
}

// maker returns the user, neither root nor the caller, who may have made the cgroup of the container: the owner of the
// directory that it is in. -1: that is nobody, or not to be seen.
func (h *hierarchies) maker(m *container.Membership, at func(string) *container.Container) int {
	for _, in := range m.In {
		hierarchy, dir := container.Find(h.all, in.Kind, m.Container.Cgroup)
		if dir == "" || !strings.HasPrefix(in.Path, m.Container.Cgroup) || hierarchy.IsNested(m.Container, at) {
			continue
		}
		if uid := engines.Owner(path.Dir(dir)); uid > 0 && uid != os.Geteuid() {
			return uid
		}
	}
	return -1
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
	return string(engines.ReadFile(path.Join(dir, file)))
}
