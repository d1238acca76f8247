package container

import (
	"path"
	"strings"
)

// Container is a container, by the path of its cgroup.
type Container struct {
	ID      string // as the runtime has it: often 64 hexadecimal digits
	Runtime string // docker, containerd, cri-o, podman, lxc, nspawn, libvirt, runc, crun; or "" if the path does not say
	Name    string // "" if the path does not say
	Pod     string // the UID of its Kubernetes pod or the ID of its podman pod, "" if it is in none
	PodName string // NAMESPACE/NAME of its Kubernetes pod, which no path says
	Cgroup  string // the path of its own cgroup
	Proven  bool   // nobody but root or the caller can have made that cgroup; see Assign
}

// Of returns the innermost container that a cgroup with that path belongs to, nil if it is of none.
func Of(cgroup string) *Container { return of(cgroup, At) }

func of(cgroup string, at func(cgroup string) *Container) *Container {
	for dir := clean(cgroup); dir != "/"; dir = path.Dir(dir) {
		if c := at(dir); c != nil {
			return c
		}
	}
	return nil
}

// At returns the container whose own cgroup has that path, nil if it is of none.
func At(cgroup string) *Container {
	cgroup = clean(cgroup)
	parent, name := path.Dir(cgroup), path.Base(cgroup)
	if isPod(parent, name) {
		return nil
	}
	c := named(parent, name)
	if c != nil {
		c.Cgroup = cgroup
		c.Pod = PodOf(c.Cgroup)
	}
	return c
}

func clean(cgroup string) string {
	if !strings.HasPrefix(cgroup, "/") {
		cgroup = "/" + cgroup
	}
	return path.Clean(cgroup)
}

// IsSupervisor reports whether a cgroup of that name within that of a container has its supervisor: podman puts conmon
// there.
func IsSupervisor(name string) bool { return name == "supervisor" }
