package discover

import (
	"context"

	"github.com/nsops/nsops/internal/container"
)

// Container is a container that processes are in, as its cgroup tells. Where users may make cgroups they may give them the
// name of another's container: one of a user, or inside another container, does not count if its ID is that of a container
// of root's; otherwise it does, but has no other name than its cgroup tells.
type Container struct {
	ID      string // as the runtime has it: often 64 hexadecimal digits
	Runtime string // who made it, as far as that shows: docker, containerd, cri-o, podman, lxc, nspawn, libvirt, runc, crun; or ""
	Name    string // as its user has it, "" if not known
	Pod     string // the UID of its Kubernetes pod or the ID of its podman pod, "" if it is in none
	Cgroup  string // the path of its cgroup
}

// ContainerNamer gives names to containers, for instance by asking an engine.
type ContainerNamer interface {
	// NameContainer returns the name of a container, "" if it does not know. It is asked for each container that has no
	// name yet and whose cgroup only root or the caller can have made, one after the other. An error becomes a Problem with its errno, EIO if it has none.
	NameContainer(ctx context.Context, c *Container) (string, error)
}

// cgroup is what a text of /proc/PID/cgroup says, which many processes have in common.
type cgroup struct {
	in     *container.Membership
	frozen bool
}
