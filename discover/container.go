package discover

import (
	"cmp"
	"context"
	"strings"

	"github.com/nsops/nsops/internal/container"
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
func (r *Result) relateContainers() {
	for _, p := range r.Processes {
		if p.Container != nil {
			p.Container.Processes = append(p.Container.Processes, p)
		}
	}
	for _, c := range r.Containers {
		for _, p := range c.Processes {
			if c.Leader == nil || compareLeadership(p, c.Leader) < 0 {
				c.Leader = p
			}
		}
	}
}

// compareLeadership sorts what watches over a container behind all that are in it, and who is below others in there behind
// these.
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

// cgroup is what a text of /proc/PID/cgroup says, which many processes have in common.
type cgroup struct {
	in     *container.Membership
	frozen bool
}
