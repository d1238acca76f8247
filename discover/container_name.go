package discover

import (
	"cmp"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/nsops/nsops/internal/container"
)

// StateFiles is a ContainerNamer that reads what runtimes write down for themselves, without asking any: config.v2.json
// of Docker, containers.json of podman, and the annotations that containerd has handed to runc. It takes the right to
// read that, which mostly only root has. Discover uses it first.
type StateFiles struct {
	Root string // of the file system that has them, "" for our own
}

// NameContainer returns a name, "" if there is none to be found. It sets a Runtime that is not known, if that shows.
func (s StateFiles) NameContainer(_ context.Context, c *Container) (string, error) {
	switch {
	case !container.IsID(c.ID):
		return "", nil
	case c.Runtime == "podman":
		return s.podman(c.ID), nil
	case c.Runtime == "docker" || c.Runtime == "":
		name := s.docker(c.ID)
		if name != "" {
			c.Runtime = "docker"
		}
		if c.Runtime != "" {
			return name, nil
		}
	}
	name, runtime := s.containerd(c.ID)
	c.Runtime = cmp.Or(c.Runtime, runtime)
	return name, nil
}

func (s StateFiles) read(into any, elements ...string) bool {
	text := readState(filepath.Join(append([]string{s.Root, "/"}, elements...)...))
	return text != "" && json.Unmarshal([]byte(text), into) == nil
}

func (s StateFiles) docker(id string) string {
	var config struct{ Name string }
	s.read(&config, "var/lib/docker/containers", id, "config.v2.json")
	return strings.TrimPrefix(config.Name, "/")
}

func (s StateFiles) podman(id string) string {
	var containers []struct {
		ID    string
		Names []string
	}
	s.read(&containers, "var/lib/containers/storage/overlay-containers/containers.json")
	for _, c := range containers {
		if c.ID == id && len(c.Names) > 0 {
			return c.Names[0]
		}
	}
	return ""
}

// containerd returns "" for the runtime if it does not have that container. In the namespace moby are Docker's.
func (s StateFiles) containerd(id string) (name, runtime string) {
	bundles, _ := filepath.Glob(filepath.Join(s.Root, "/", "run/containerd/io.containerd.runtime.v2.task/*", id, "config.json"))
	for _, bundle := range bundles {
		var config struct{ Annotations map[string]string }
		if relative, err := filepath.Rel(filepath.Join(s.Root, "/"), bundle); err == nil && s.read(&config, relative) {
			if runtime = "containerd"; filepath.Base(filepath.Dir(filepath.Dir(bundle))) == "moby" {
				runtime = "docker"
			}
			a := config.Annotations
			return cmp.Or(a["io.kubernetes.cri.container-name"], a["nerdctl/name"], a["io.kubernetes.cri.sandbox-name"]), runtime
		}
	}
	return "", ""
}
