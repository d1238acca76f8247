package discover

import "context"

// Container is a container that processes are in, as its cgroup tells. Where users may make cgroups they may give them the
// name of another's container: one of a user, or inside another container, does not count if its ID is that of a container
// of root's; otherwise it does, but has no other name than its cgroup tells.
type Container struct {
	ID      string // as the runtime has it: often 64 hexadecimal digits
	Runtime string // who made it, as far as that shows: docker, containerd, cri-o, podman, lxc, nspawn, runc, crun; or ""
	Name    string // as its user has it, "" if not known
	Pod     string // the UID of its Kubernetes pod, "" if it is in none
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
	path      string   // see Process.Cgroup
	unified   string   // of version 2, which has a freezer
	legacy    string   // of the freezer of version 1; both may be there
	paths     []string // of all hierarchies
	kinds     []string // of these, in the same order: the controllers, or a name, or nothing for version 2
	frozen    bool
	container *Container
}
