package discover

import (
	"context"

	"github.com/nsops/nsops/internal/scan"
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

// StateFiles is a ContainerNamer that reads what runtimes write down for themselves, without asking any: config.v2.json
// of Docker, containers.json of podman, and the annotations that containerd has handed to runc. It requires the right to
// read that, which mostly only root has. Discover uses it first.
type StateFiles struct {
	Root string // of the file system that has them, "" for our own
}

// NameContainer returns a name, "" if there is none to be found. It sets a Runtime that is not known, if that shows.
func (s StateFiles) NameContainer(ctx context.Context, c *Container) (string, error) {
	return scan.StateFiles(s).NameContainer(ctx, (*scan.Container)(c))
}
