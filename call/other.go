//go:build !linux

package call

import "github.com/nsops/nsops/internal/sys"

func runAsWorker() {}

type source struct{}

func processSource(int) source { return source{} }

func identify(int) (sys.Identity, error) { return sys.Identity{}, nil }

// Container is a container by its ID or name. It requires Linux.
func Container(id string) Target { return Target{name: id} }

// Pidfd is the process of a pidfd. It requires Linux.
func Pidfd(int) Target { return Target{name: "pidfd"} }

func supported() error { return ErrNotLinked }

func (c *Call) spawn([]byte) ([]byte, error) { return nil, spawnError("check", ErrNotLinked) }

func (c *Call) runInThread([]byte) ([]byte, error) { return nil, spawnError("check", ErrNotLinked) }

func (c *Call) switchTo([]byte) error { return spawnError("check", ErrNotLinked) }
