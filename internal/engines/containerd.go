package engines

import (
	"cmp"
	"path/filepath"

	"github.com/nsops/nsops/internal/container"
)

// bundle is a part of the config.json that containerd hands to a runtime.
type bundle struct {
	Annotations map[string]string
	Mounts      []struct{ Source string }
	Linux       struct{ CgroupsPath string }
}

// moby is the namespace that Docker has in containerd.
const moby = "moby"

func runtimeIn(namespace string) string {
	if namespace == moby {
		return "docker"
	}
	return "containerd"
}

// describeContainerd looks for the container in all namespaces.
func (e *Engines) describeContainerd(c *container.Container) {
	for _, state := range e.containerd {
		for _, namespace := range list(state) {
			var b bundle
			if !readJSON(&b, state, namespace, c.ID, "config.json") || c.Runtime != "" && c.Runtime != runtimeIn(namespace) {
				continue
			}
			c.Runtime = runtimeIn(namespace)
			b.describe(c)
			return
		}
	}
}

// describe takes names and pod from the annotations of CRI and nerdctl. Docker has none, but mounts files from where it
// keeps the container's state.
func (b *bundle) describe(c *container.Container) {
	a := b.Annotations
	c.Name = cmp.Or(c.Name, a["io.kubernetes.cri.container-name"], a["nerdctl/name"], a["io.kubernetes.cri.sandbox-name"])
	c.Pod = cmp.Or(c.Pod, a["io.kubernetes.cri.sandbox-uid"])
	if pod := a["io.kubernetes.cri.sandbox-name"]; pod != "" {
		c.PodName = a["io.kubernetes.cri.sandbox-namespace"] + "/" + pod
	}
	for _, m := range b.Mounts {
		folder, file := filepath.Split(m.Source)
		if c.Name == "" && c.Runtime == "docker" && file == "hostname" && filepath.Base(folder) == c.ID {
			c.Name = dockerName(folder)
		}
	}
}

// searchContainerd notes the cgroups of those containers that have an ID of the user's choosing: ctr makes them where it
// likes.
func (e *Engines) searchContainerd() {
	for _, state := range e.containerd {
		for _, namespace := range list(state) {
			for _, id := range list(filepath.Join(state, namespace)) {
				var b bundle
				if container.IsID(id) || !readJSON(&b, state, namespace, id, "config.json") {
					continue
				}
				c := container.Container{ID: id, Runtime: runtimeIn(namespace)}
				b.describe(&c)
				e.put(b.Linux.CgroupsPath, c)
			}
		}
	}
}
