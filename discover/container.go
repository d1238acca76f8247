package discover

import (
	"cmp"
	"context"
	"strings"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
)

// Container is a container that processes are in, as its cgroup tells, or what its runtime has written down of that. Where
// users may make cgroups they may give them the name of another's container: one of a user, or inside another container,
// does not count if its ID is that of a container of root's; otherwise it does, but has no other name than its cgroup or a
// process of that user tells.
type Container struct {
	ID      string // as the runtime has it: often 64 hexadecimal digits
	Runtime string // who made it, as far as that shows: docker, containerd, cri-o, podman, lxc, nspawn, libvirt, runc, crun; or ""
	Name    string // as its user has it, "" if not known
	Pod     string // the UID of its Kubernetes pod or the ID of its podman pod, "" if it is in none or that is not known
	PodName string // NAMESPACE/NAME of its Kubernetes pod, "" if not known
	Cgroup  string // the path of its cgroup

	Processes []*Process // in it, sorted by PID
	Leader    *Process   // the first to have started of those whose parent is not in it: its init; nil: there is no process
}

// relateContainers gives containers their processes.
func (l *linker) relateContainers() {
	for i := range l.processes {
		if c := l.processes[i].Container; c != nil {
			c.Processes = append(c.Processes, &l.processes[i])
		}
	}
	for i := range l.containers {
		c := &l.containers[i]
		for _, p := range c.Processes {
			if c.Leader == nil || compareLeadership(p, c.Leader) < 0 {
				c.Leader = p
			}
		}
	}
}

// compareLeadership sorts supervisors of a container last, and before them who is below others in there.
func compareLeadership(a, b *Process) int {
	rank := func(p *Process) int {
		name, below := strings.CutPrefix(p.Cgroup, p.Container.Cgroup+"/")
		name, _, _ = strings.Cut(name, "/")
		switch {
		case below && container.IsSupervisor(name):
			return 2
		case p.Parent != nil && p.Parent.Container == p.Container:
			return 1
		}
		return 0
	}
	return cmp.Or(rank(a)-rank(b), compareSeniority(a, b))
}

// ContainerNamer gives names to containers, for instance by asking an engine.
type ContainerNamer interface {
	// NameContainer returns the name of a container, "" if it does not know. It is asked for each container that has no
	// name yet and whose cgroup only root or the caller can have made, one after the other. An error becomes a Problem with
	// its errno, EIO if it has none.
	NameContainer(ctx context.Context, c *Container) (string, error)
}

// StateFiles is a ContainerNamer that reads what runtimes write down for themselves, in the folders that they have by
// default, without asking any: config.v2.json of Docker, containers.json of podman and cri-o, and the annotations that
// containerd has handed to runc. It requires the right to read that, which mostly only root has. Discover does so first,
// with folders too that it knows from the arguments of the runtimes' processes.
type StateFiles struct {
	Root string // of the file system that has them, "" for our own
}

// NameContainer returns a name, "" if there is none to be found. It sets a Runtime that is not known, if that shows.
func (s StateFiles) NameContainer(_ context.Context, c *Container) (string, error) {
	found := container.Container{ID: c.ID, Runtime: c.Runtime}
	engines.New(s.Root, nil, nil).Describe(&found)
	c.Runtime = found.Runtime
	return found.Name, nil
}
