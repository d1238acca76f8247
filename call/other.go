//go:build !linux

package call

import "github.com/nsops/nsops/internal/sys"

func runAsWorker() {}

type source struct{}

func processSource(int) source { return source{} }

func identify(int) (sys.Identity, error) { return sys.Identity{}, nil }

func supported() error { return ErrNotLinked }

func (c *Call) spawn([]byte) ([]byte, error) { return nil, spawnError("check", ErrNotLinked) }

func (c *Call) runInThread([]byte) ([]byte, error) { return nil, spawnError("check", ErrNotLinked) }

func (c *Call) switchTo([]byte) error { return spawnError("check", ErrNotLinked) }
