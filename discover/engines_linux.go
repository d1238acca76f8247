package discover

import (
	"context"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
)

// engines returns what runtimes have written down and their processes have for arguments, nil if there are no cgroups to
// be seen, or the files do not answer. Arguments are known with the source Details.
func (s *scan) engines(r *Result, h *hierarchies) *engines.Engines {
	if h == nil {
		return nil
	}
	var seen []Process
	for _, p := range r.Processes {
		if len(p.Cmdline) > 0 && engines.IsName(p.Name) {
			seen = append(seen, *p)
		}
	}
	told, err := within(s.opts.Patience, s.ctx.Done(), func() (*engines.Engines, error) {
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
		s.mounts.stateStuck = true
		s.noteContainers(r, "", err)
	}
	return told
}

// describe finds out who a container is whose cgroup is proven, by one after the other. What runtimes write down may be on
// a file system that does not answer; a Namer has the context.
func (s *scan) describe(r *Result, told *engines.Engines, c *container.Container) *Container {
	if !s.mounts.stateStuck {
		own := *c
		described, err := within(s.opts.Patience, s.ctx.Done(), func() (*container.Container, error) {
			told.Describe(&own)
			return &own, nil
		}, func(*container.Container) {})
		if err == nil {
			c = described
		}
		s.mounts.stateStuck = err != nil
		s.noteContainers(r, c.Cgroup, err)
	}
	found := publicContainer(c)
	for _, namer := range s.opts.Namers {
		if found.Name == "" {
			name, err := namer.NameContainer(s.ctx, found)
			found.Name = name
			s.noteContainers(r, c.Cgroup, err)
		}
	}
	return found
}

func (s *scan) noteContainers(r *Result, cgroup string, err error) {
	if err != nil && context.Cause(s.ctx) == nil {
		r.Problems = append(r.Problems, Problem{Source: Cgroups, Path: cgroup, Errno: errnoOf(err)})
	}
}

func publicContainer(c *container.Container) *Container {
	return &Container{ID: c.ID, Runtime: c.Runtime, Name: c.Name, Pod: c.Pod, PodName: c.PodName, Cgroup: c.Cgroup}
}
