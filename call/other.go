//go:build !linux

package call

import "github.com/nsops/nsops/internal/sys"

func handle() {}

func identify(int) (sys.Identity, error) { return sys.Identity{}, nil }

// SpawnInNamespaces returns ErrNotLinked: it requires Linux.
func (c *Call) SpawnInNamespaces(any) error {
	return c.annotate(&Error{Stage: StageSpawn, Op: "check", Err: ErrNotLinked})
}

// SwitchToNamespaces returns ErrNotLinked: it requires Linux.
func (c *Call) SwitchToNamespaces() error {
	return c.annotate(&Error{Stage: StageSpawn, Op: "check", Err: ErrNotLinked})
}
