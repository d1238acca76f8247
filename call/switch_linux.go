package call

import (
	"context"
	"runtime"

	"github.com/nsops/nsops/internal/sys"
)

// SwitchToNamespaces replaces the process, as execve(2) does, by one in the target's namespaces that runs the handler
// and exits: with status 0, or if the handler returns an error, with status 1 and a message on standard error. The
// result is discarded. The process keeps its environment, its standard descriptors and all others that are not
// close-on-exec; Stdin, Stdout, Stderr and MaxResult have no effect. In a set-user-ID program all IDs become the
// effective ones. If a PID namespace is joined, the process stays outside: a child runs the handler, and the process
// ends as that child does. A signal that ends the process kills the child, and no signal is passed on.
//
// If it returns, it returns an error, and nothing has changed. A failure to join comes later: it ends the process with
// status 125 and a message on standard error, before any Go code runs. It requires the capabilities and the kernel of
// SpawnInNamespaces.
func (c *Call) SwitchToNamespaces() error {
	return c.annotate(c.switchTo())
}

func (c *Call) switchTo() error {
	if c.ctx != nil && c.ctx.Err() != nil {
		return &Error{Stage: StageTarget, Op: "context", Err: context.Cause(c.ctx)}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := c.prepare(false)
	if err != nil {
		return err
	}
	defer s.close()
	return spawnError("start the program again", sys.WithFullRights(func() error {
		return sys.Exec(sys.PathOf(s.program), argv(), s.env, s.theirs)
	}))
}
