package call

import (
	"os"
	"runtime"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// SwitchToNamespaces replaces the process, as execve(2) does, by one in the target's namespaces that runs the handler
// and exits: with status 0, or with 1 and a message on standard error if the handler returns an error. Its result is
// dropped. Environment, standard descriptors and others that are not close-on-exec are kept; Stdin, Stdout, Stderr and
// MaxResult have no effect. If a PID namespace is joined, the process stays outside as the parent of the one that runs
// the handler, and ends as that does.
//
// It returns only an error, before anything has changed. A failure to join comes later: it ends the process with status
// 125 and a message on standard error, before any Go code runs. Privileges are those of SpawnInNamespaces.
func (c *Call) SwitchToNamespaces() error {
	return c.blame(c.switchTo())
}

func (c *Call) switchTo() error {
	arg, err := c.check()
	if err != nil {
		return err
	}
	if c.ctx != nil && c.ctx.Err() != nil {
		return &Error{Stage: StageTarget, Op: "context", Err: c.ctx.Err()}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t, err := findTarget(c.pid, c.identity, c.types)
	if err != nil {
		return err
	}
	defer t.close()
	ours, theirs, err := sys.Socketpair()
	if err != nil {
		return spawnError("socketpair", err)
	}
	defer closeAll(ours, theirs)
	env, marks := c.workerEnv(theirs.Int(), runtime.GOMAXPROCS(0))
	if err := sendRequest(ours, c.request(t, 0), t, c.name, arg, marks); err != nil {
		return spawnError("send request", err)
	}
	path, err := sys.Executable(t.types&species.CLONE_NEWPID != 0)
	if err != nil {
		return spawnError("open the program", err)
	}
	if err := sys.SetInheritable(theirs); err != nil {
		return spawnError("channel", err)
	}
	return spawnError("start the program again", sys.Exec(path, os.Args[:1], env))
}
