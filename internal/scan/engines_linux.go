package scan

import (
	"context"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
	"github.com/nsops/nsops/internal/facts"
)

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
