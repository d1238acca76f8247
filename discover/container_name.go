package discover

import (
	"context"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
)

// StateFiles is a ContainerNamer that reads what runtimes write down for themselves, in the folders that they have by
// default, without asking any: config.v2.json of Docker, containers.json of podman and cri-o, and the annotations that
// containerd has handed to runc. It takes the right to read that, which mostly only root has. Discover does so first,
// with folders too that it knows from the arguments of the runtimes' processes.
type StateFiles struct {
	Root string // of the file system that has them, "" for our own
}

// NameContainer returns a name, "" if there is none to be found. It sets a Runtime that is not known, if that shows.
func (s StateFiles) NameContainer(_ context.Context, c *Container) (string, error) {
	found := container.Container{ID: c.ID, Runtime: c.Runtime}
	engines.New(s.Root, nil, nil).Describe(&found)
	c.Runtime = found.Runtime
	return found.Name, nil
}
