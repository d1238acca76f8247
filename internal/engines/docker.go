package engines

import (
	"path/filepath"
	"strings"

	"github.com/nsops/nsops/internal/container"
)

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
