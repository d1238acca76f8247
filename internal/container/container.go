package container

import "path"

// Container is a container, as the path of its cgroup tells.
type Container struct {
	ID      string // as the runtime has it: often 64 hexadecimal digits
	Runtime string // docker, containerd, cri-o, podman, lxc, nspawn, libvirt, runc, crun; or "" if the path does not say
	Name    string // "" if the path does not say
	Pod     string // the UID of its Kubernetes pod or the ID of its podman pod, "" if it is in none
	Cgroup  string // the path of its own cgroup
	Proven  bool   // nobody but root or the caller can have made that cgroup; see Assign
}

// Of returns the innermost container that a cgroup with that path belongs to, nil if it is of none.
func Of(cgroup string) *Container {
	for dir := path.Clean("/" + cgroup); dir != "/"; dir = path.Dir(dir) {
		if c := At(dir); c != nil {
			return c
		}
	}
	return nil
}

// At returns the container whose own cgroup has that path, nil if it is of none.
func At(cgroup string) *Container {
	parent, name := path.Split(path.Clean("/" + cgroup))
	parent = path.Clean(parent)
	if isPod(parent, name) {
		return nil
	}
	c := named(parent, name)
	if c != nil {
		c.Cgroup = path.Join(parent, name)
		c.Pod = podOf(c.Cgroup)
	}
	return c
}

// IsSupervisor reports whether a cgroup of that name within that of a container has what watches over the container:
// podman puts conmon there.
func IsSupervisor(name string) bool { return name == "supervisor" }
