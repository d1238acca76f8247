package scan

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// cgroup is what a text of /proc/PID/cgroup says, which many processes have in common.
type cgroup struct {
	in     *container.Membership
	frozen bool
}

// groups are the cgroups that some processes have in common, as they were read of one of them.
type groups struct {
	cgroup *cgroup
	pid    int
	start  uint64 // as draft.start
}

// findCgroup finds the cgroup of a process, if wanted: read once for all of which the kernel says that they have the same.
func (w *worker) findCgroup(d *draft, s subject, leads bool) {
	if d.cgroup = w.groups[d.groups].cgroup; !w.scan.opts.has(facts.Cgroups) || d.cgroup != nil || !leads && d.groups == 0 {
		return
	}
	d.cgroup = w.readCgroup(s.dir)
	if d.groups != 0 && d.cgroup != nil && w.isStillIn(d.groups, s.pidfd) {
		w.groups[d.groups] = groups{d.cgroup, s.pid, d.start}
	}
}

// isStillIn reports whether a process is still in the cgroup that it was in. Without a pidfd, confirm finds out.
func (w *worker) isStillIn(groups uint64, pidfd int) bool {
	if pidfd == raw.NoFD {
		return w.scan.snapshot != nil
	}
	var info raw.ProcessInfo
	return raw.PidfdInfo(pidfd, &info) == 0 && info.CgroupID == groups
}

// readCgroup reads the cgroup of the process with that directory, nil if it is gone.
func (w *worker) readCgroup(dir int) *cgroup {
	text, errno := w.short(facts.Cgroups, dir, &cgroupPath)
	if errno != 0 {
		return nil
	}
	known := w.cgroups[string(text)]
	if known == nil {
		known = &cgroup{in: container.ParseMembership(text)}
		w.cgroups[string(text)] = known
	}
	return known
}

// findContainers finds the containers that processes are in, and which cgroups are frozen.
func (s *scan) findContainers(f *facts.Facts) {
	if !s.opts.has(facts.Cgroups) {
		return
	}
	known, hierarchies := s.knownCgroups()
	memberships := make([]*container.Membership, len(known))
	for i, c := range known {
		memberships[i] = c.in
	}
	told := s.engines(f, hierarchies)
	found := container.Assign(memberships, told.At, func(kind string, c *container.Container) bool {
		return hierarchies.proof(kind, c, told.At)
	})
	makers := map[*container.Container]int{}
	for _, m := range memberships {
		if c := m.Container; hierarchies != nil && c != nil && !c.Proven && makers[c] == 0 {
			makers[c] = hierarchies.maker(m, told.At)
		}
	}
	for _, c := range found {
		if c.Proven {
			s.describe(f, told, c)
		} else {
			told.DescribeFor(makers[c], c)
		}
	}
	slices.SortFunc(found, func(a, b *container.Container) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.Cgroup, b.Cgroup))
	})
	s.containerRows(f, found)
}

// containerRows makes rows of containers, and says which processes are in them.
func (s *scan) containerRows(f *facts.Facts, found []*container.Container) {
	places := make(map[*container.Container]facts.Place, len(found))
	for i, c := range found {
		places[c] = facts.Place(i + 1)
		f.Containers = append(f.Containers, facts.Container{ID: facts.Text(c.ID), Runtime: c.Runtime, Name: facts.Text(c.Name),
			Pod: facts.Text(c.Pod), PodName: facts.Text(c.PodName), Cgroup: facts.Text(c.Cgroup)})
	}
	for i := range f.Processes {
		if c := s.drafts[i].cgroup; c != nil {
			p := &f.Processes[i]
			p.Cgroup, p.Container, p.Frozen = facts.Text(c.in.Path), places[c.in.Container], c.frozen
		}
	}
}

// knownCgroups returns the cgroups that were read, sorted, and finds out which are frozen.
func (s *scan) knownCgroups() ([]*cgroup, *hierarchies) {
	var known []*cgroup
	var hierarchies *hierarchies
	for _, w := range s.workers {
		for _, c := range w.cgroups {
			if hierarchies == nil && len(c.in.Path) > 1 {
				hierarchies = s.hierarchies()
			}
			c.frozen = hierarchies.frozen(c.in)
			known = append(known, c)
		}
	}
	slices.SortFunc(known, func(a, b *cgroup) int {
		return slices.CompareFunc(a.in.In, b.in.In, func(a, b container.In) int { return cmp.Compare(a.Path, b.Path) })
	})
	return known, hierarchies
}

// hierarchies are those of cgroups, as mounted in our mount namespace; nil is none.
type hierarchies struct {
	all       []container.Hierarchy
	mountinfo []byte
	trust     sys.Trust
}

func (s *scan) hierarchies() *hierarchies {
	text, errno := s.reader.Whole(s.proc.dir, &mountinfoHere)
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

// maker returns who may have made a container's cgroup, the owner of the directory above: -1 for root, us, or not known.
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

// engines returns what runtimes have written down and their processes have for arguments, nil if there are no cgroups to
// be seen, or the files do not answer. Arguments are known with the source Details.
func (s *scan) engines(f *facts.Facts, h *hierarchies) *engines.Engines {
	if h == nil {
		return nil
	}
	var seen []facts.Process
	for i := range f.Processes {
		if p := &f.Processes[i]; len(p.Cmdline) > 0 && engines.IsName(string(p.Name)) {
			seen = append(seen, *p)
		}
	}
	told, err := Within(s.opts.Patience, s.ctx.Done(), func() (*engines.Engines, error) {
		told := engines.New("", h.all, h.mountinfo)
		for i := range seen {
			p, ok := engines.Look(s.opts.Proc, seen[i].PID)
			if ok && p.UID == seen[i].UID && (p.Start == 0 || p.Start == seen[i].Start) {
				p.Args = seen[i].Cmdline
				told.AddProcess(p)
			}
		}
		told.Search()
		return told, nil
	}, func(*engines.Engines) {})
	if err != nil {
		s.stateStuck = true
		s.containerProblem(f, "", err)
	}
	return told
}

// describe finds out about a container whose cgroup is proven, by one after the other. What runtimes write down may be on
// a file system that does not answer; a Namer has the context.
func (s *scan) describe(f *facts.Facts, told *engines.Engines, c *container.Container) {
	if !s.stateStuck {
		own := *c
		described, err := Within(s.opts.Patience, s.ctx.Done(), func() (*container.Container, error) {
			told.Describe(&own)
			return &own, nil
		}, func(*container.Container) {})
		if err == nil {
			*c = *described
		}
		s.stateStuck = err != nil
		s.containerProblem(f, c.Cgroup, err)
	}
	for _, namer := range s.opts.Namers {
		if c.Name == "" {
			name, err := namer(s.ctx, c)
			c.Name = name
			s.containerProblem(f, c.Cgroup, err)
		}
	}
}

func (s *scan) containerProblem(f *facts.Facts, cgroup string, err error) {
	if err != nil && context.Cause(s.ctx) == nil {
		f.Problems = append(f.Problems, facts.Problem{Source: facts.Cgroups, Path: facts.Text(cgroup), Errno: errnoOf(err)})
	}
}
