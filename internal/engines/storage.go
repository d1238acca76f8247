package engines

import (
	"cmp"
	"strings"

	"github.com/nsops/nsops/internal/container"
)

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
