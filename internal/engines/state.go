package engines

import (
	"cmp"
	"path/filepath"
	"strings"

	"github.com/nsops/nsops/internal/container"
)

// Search notes the cgroups of containers that have an ID of the user's choosing, for At.
func (e *Engines) Search() {
	e.search(e.runc, e.readRunc)
	e.search(e.crun, e.readCrun)
	e.search(e.namespaceFolders(), e.readBundle)
}

func (e *Engines) search(folders []string, read func(folder, id string)) {
	for _, folder := range folders {
		for _, id := range list(folder) {
			if !container.IsID(id) {
				read(folder, id)
			}
		}
	}
}

// readRunc reads state.json of runc, which has directories of cgroups, by controller.
func (e *Engines) readRunc(root, id string) {
	var state struct {
		ID          string
		CgroupPaths map[string]string `json:"cgroup_paths"`
	}
	if !readJSON(&state, root, id, "state.json") || state.ID != id {
		return
	}
	for _, dir := range state.CgroupPaths {
		if cgroup, ok := container.CgroupAt(e.hierarchies, dir); ok {
			e.put(cgroup, container.Container{ID: id, Runtime: "runc"})
		}
	}
}

// readCrun reads the file status of crun, which has the path of the cgroup in all hierarchies.
func (e *Engines) readCrun(root, id string) {
	var status struct {
		CgroupPath string `json:"cgroup-path"`
	}
	if readJSON(&status, root, id, "status") {
		e.put(strings.TrimSuffix(status.CgroupPath, "/container"), container.Container{ID: id, Runtime: "crun"})
	}
}

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

// namespaceFolders returns the folders NAMESPACE of containerd, which have one with config.json for each container.
func (e *Engines) namespaceFolders() (folders []string) {
	for _, state := range e.containerd {
		for _, namespace := range list(state) {
			folders = append(folders, filepath.Join(state, namespace))
		}
	}
	return folders
}

func (e *Engines) describeContainerd(c *container.Container) {
	for _, folder := range e.namespaceFolders() {
		var b bundle
		runtime := runtimeIn(filepath.Base(folder))
		if readJSON(&b, folder, c.ID, "config.json") && (c.Runtime == "" || c.Runtime == runtime) {
			c.Runtime = runtime
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

// readBundle is for a container of ctr, which makes its cgroup where the user likes.
func (e *Engines) readBundle(folder, id string) {
	var b bundle
	if readJSON(&b, folder, id, "config.json") {
		c := container.Container{ID: id, Runtime: runtimeIn(filepath.Base(folder))}
		b.describe(&c)
		e.put(b.Linux.CgroupsPath, c)
	}
}

// describeDocker reads config.v2.json below the data roots.
func (e *Engines) describeDocker(c *container.Container) {
	for _, root := range e.docker {
		if name := dockerName(filepath.Join(root, "containers", c.ID)); name != "" {
			c.Name, c.Runtime = name, "docker"
			return
		}
	}
}

// dockerName reads the name of the container that has its state in that folder.
func dockerName(folder string) string {
	var config struct{ Name string }
	readJSON(&config, folder, "config.v2.json")
	return strings.TrimPrefix(config.Name, "/")
}

// describeStorage reads containers.json of the storage that podman and cri-o have in common: a folder for each driver.
func (e *Engines) describeStorage(c *container.Container) {
	for _, storage := range e.podman {
		for _, driver := range list(storage) {
			if !strings.HasSuffix(driver, "-containers") {
				continue
			}
			var containers []struct {
				ID    string
				Names []string
			}
			readJSON(&containers, storage, driver, "containers.json")
			for _, known := range containers {
				if known.ID == c.ID && len(known.Names) > 0 {
					setName(c, known.Names[0])
					return
				}
			}
		}
	}
}

// setName takes the name that podman or cri-o gives a container: k8s_NAME_POD_NAMESPACE_UID_ATTEMPT if it is in a
// Kubernetes pod, with POD for the name of the container that holds the pod.
func setName(c *container.Container, name string) {
	const parts = 6
	words := strings.Split(name, "_")
	if len(words) != parts || words[0] != "k8s" {
		c.Name = cmp.Or(c.Name, name)
		return
	}
	pod := words[2]
	if words[1] == "POD" {
		words[1] = pod
	}
	c.Name, c.PodName, c.Pod = cmp.Or(c.Name, words[1]), words[3]+"/"+pod, cmp.Or(c.Pod, words[4])
}
