package call

import (
	"context"
	"runtime"

	"github.com/nsops/nsops/internal/sys"
)

// SwitchToNamespaces replaces the process, as execve(2) does, by one in the target's namespaces that runs the handler
// and exits: with status 0, or with 1 and a message on standard error if the handler returns an error. Its result is
// dropped. Environment, standard descriptors and others that are not close-on-exec are kept; Stdin, Stdout, Stderr and
// MaxResult have no effect. A set-user-ID program becomes its effective user in full. If a
// PID namespace is joined, the process stays outside as the parent of the one that runs the handler, and ends as that
// does: a signal that ends it kills the handler, and is not passed on.
//
// It returns only an error, before anything has changed. A failure to join comes later: it ends the process with status
// 125 and a message on standard error, before any Go code runs. Privileges are those of SpawnInNamespaces.
func (c *Call) SwitchToNamespaces() error {
	return c.blame(c.switchTo())
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
