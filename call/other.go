//go:build !linux

package call

import "github.com/nsops/nsops/internal/sys"

func handle() {}

func identify(int) (sys.Identity, error) { return sys.Identity{}, nil }

func (c *Call) spawn(any) error { return spawnError("check", ErrNotLinked) }

func (c *Call) switchTo() error { return spawnError("check", ErrNotLinked) }
