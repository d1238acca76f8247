package scan

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"math"
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
	known := s.knownCgroups()
	memberships := make([]*container.Membership, len(known))
	for i, c := range known {
		c.frozen = s.isFrozen(c.in)
		memberships[i] = c.in
	}
	told := s.engines(f, memberships)
	found := container.Assign(memberships, told.At, func(kind string, c *container.Container) bool {
		return s.cgroupFS().proof(kind, c, told.At)
	})
	makers := map[*container.Container]int{}
	for _, m := range memberships {
		if c := m.Container; c != nil && !c.Proven && makers[c] == 0 {
			makers[c] = s.cgroupFS().maker(m, told.At)
		}
	}
	s.describe(found, told, makers)
	s.containers = found
}

// containerRows makes rows of containers, and says which processes are in them.
func (s *scan) containerRows(f *facts.Facts) {
	slices.SortFunc(s.containers, func(a, b *container.Container) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.Cgroup, b.Cgroup))
	})
	places := make(map[*container.Container]facts.Place, len(s.containers))
	for i, c := range s.containers {
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

// knownCgroups returns the cgroups that were read, sorted.
func (s *scan) knownCgroups() (known []*cgroup) {
	for _, w := range s.workers {
		known = slices.AppendSeq(known, maps.Values(w.cgroups))
	}
	slices.SortFunc(known, func(a, b *cgroup) int {
		return slices.CompareFunc(a.in.In, b.in.In, func(a, b container.In) int { return cmp.Compare(a.Path, b.Path) })
	})
	return known
}

// cgroupFS are the hierarchies of cgroups, as mounted in our mount namespace.
type cgroupFS struct {
	all       []container.Hierarchy
	mountinfo []byte
	trust     sys.Trust
}

// cgroupFS reads where they are mounted, once it is asked.
func (s *scan) cgroupFS() *cgroupFS {
	if s.cgroups == nil {
		text, errno := s.caller.read.Whole(s.proc.dir, &mountinfoHere)
		if errno != 0 {
			_, text = s.workers[0].checked(facts.Cgroups, errno), nil
		}
		s.cgroups = &cgroupFS{all: container.Hierarchies(text), mountinfo: bytes.Clone(text)}
	}
	return s.cgroups
}

// proof reports whether only root or the caller can have made the cgroup of a container.
func (h *cgroupFS) proof(kind string, c *container.Container, at func(string) *container.Container) bool {
	in, _ := container.Find(h.all, kind, c.Cgroup)
	return in != nil && in.Proves(c, at, h.trust.OnlyTrustedMayMake)
}

// maker returns who may have made a container's cgroup, the owner of the directory above: -1 for root, us, or not known.
func (h *cgroupFS) maker(m *container.Membership, at func(string) *container.Container) int {
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

func (s *scan) isFrozen(in *container.Membership) bool {
	return strings.Contains(s.readCgroupFile("", in.Unified, "cgroup.events"), "frozen 1") ||
		strings.HasPrefix(s.readCgroupFile("freezer", in.Freezer, "freezer.state"), "FROZEN")
}

// readCgroupFile reads a file of a cgroup, "" if the hierarchy or the cgroup is not to be seen.
func (s *scan) readCgroupFile(kind, cgroup, file string) string {
	if cgroup == "" || cgroup == "/" {
		return ""
	}
	_, dir := container.Find(s.cgroupFS().all, kind, cgroup)
	if dir == "" {
		return ""
	}
	return string(engines.ReadFile(path.Join(dir, file)))
}

// askState has a worker read what runtimes have written down, which may be on a file system that does not answer:
// ETIMEDOUT then, and a Problem. of is the cgroup of the container that it is about, if it is.
func askState[T any](s *scan, of string, ask func() T) (answer T, errno syscall.Errno) {
	s.share(1, func(w *worker, _ int) {
		w.state = of
		answer, errno = watch(w, facts.Cgroups, func(*caller) (T, syscall.Errno) { return ask(), 0 })
	})
	return answer, errno
}

// engines returns what runtimes have written down and their processes have for arguments: as much as is needed. Arguments
// are known with the source Details.
func (s *scan) engines(f *facts.Facts, known []*container.Membership) *engines.Engines {
	if !slices.ContainsFunc(known, (*container.Membership).IsBelowTop) {
		return nil
	}
	var seen []facts.Process
	for i := range f.Processes {
		if p := &f.Processes[i]; len(p.Cmdline) > 0 && engines.IsName(string(p.Name)) {
			seen = append(seen, *p)
		}
	}
	exist, errno := askState(s, "", engines.Exist)
	if errno != 0 || !exist && len(seen) == 0 {
		return engines.New("", nil, nil)
	}
	proc, fs := s.opts.Proc, s.cgroupFS()
	told, errno := askState(s, "", func() *engines.Engines {
		told := engines.New("", fs.all, fs.mountinfo)
		for i := range seen {
			p, ok := engines.Look(proc, seen[i].PID)
			if ok && p.UID == seen[i].UID && (p.Start == 0 || p.Start == seen[i].Start) {
				p.Args = seen[i].Cmdline
				told.AddProcess(p)
			}
		}
		told.Search()
		return told
	})
	if errno != 0 {
		return engines.New("", nil, nil)
	}
	return told
}

// describe finds out about the containers: of those with a proven cgroup from files, too, one after the other, until one
// does not answer.
func (s *scan) describe(found []*container.Container, told *engines.Engines, makers map[*container.Container]int) {
	answers := true
	for _, c := range found {
		switch {
		case !c.Proven:
			told.DescribeFor(makers[c], c)
		case answers:
			described, errno := askState(s, c.Cgroup, func() container.Container {
				own := *c
				told.Describe(&own)
				return own
			})
			if answers = errno == 0; answers {
				*c = described
			}
		}
	}
}

// name asks the Namers for names that are not known. Without a context that may end, it is the caller's goroutine that
// calls them.
func (s *scan) name(f *facts.Facts) error {
	if len(s.opts.Namers) == 0 {
		return nil
	}
	if s.ctx.Done() == nil {
		s.callNamers(f)
		return nil
	}
	_, err := Within(math.MaxInt64, s.ctx.Done(), func() (none struct{}, err error) {
		s.callNamers(f)
		return none, nil
	}, func(struct{}) {})
	return cmp.Or(s.ctx.Err(), err)
}

func (s *scan) callNamers(f *facts.Facts) {
	for _, c := range s.containers {
		for _, namer := range s.opts.Namers {
			if !c.Proven || c.Name != "" {
				break
			}
			name, err := namer(s.ctx, c)
			c.Name = name
			if err != nil && context.Cause(s.ctx) == nil {
				f.Problems = append(f.Problems, facts.Problem{Source: facts.Cgroups, Path: facts.Text(c.Cgroup), Errno: errnoOf(err)})
			}
		}
	}
}
