package call

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// Descriptors of a worker after stdio.
const workerChannel, workerGroup, workerLifeline = 3, 4, 5

// SpawnInNamespaces starts a worker in the target's namespaces, runs the handler there, waits for its end, and decodes
// its result into ret, a pointer as for json.Unmarshal; nil discards the result. The namespaces, threads and descriptors
// of the caller do not change, and the caller accepts no descriptor of a worker. A worker that could not join all
// namespaces runs no Go code. It starts in the calling thread's namespaces.
//
// It requires the right to inspect the target (CAP_SYS_PTRACE over it), CAP_SYS_ADMIN in the user namespaces that own
// the namespaces to be joined (man 2 setns), and Linux 5.10. Every error is an *Error.
func (c *Call) SpawnInNamespaces(ret any) error {
	return c.annotate(c.spawn(ret))
}

func (c *Call) spawn(ret any) error {
	if v := reflect.ValueOf(ret); ret != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return &Error{Stage: StageTarget, Op: "result", Err: fmt.Errorf("decode into %T: not a pointer", ret)}
	}
	ctx, until := c.context()
	if ctx.Err() != nil {
		return &Error{Stage: StageTarget, Op: "context", Err: context.Cause(ctx)}
	}
	// PDEATHSIG kills the worker when the thread that has started it ends: so it must not end before the worker.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := c.prepare(true)
	if err != nil {
		return err
	}
	defer s.close()
	body, err := c.run(ctx, until, s)
	if err != nil || ret == nil {
		return s.target.explainRefusal(err)
	}
	if err := json.Unmarshal(body, ret); err != nil {
		return &Error{Stage: StageProtocol, Op: "decode result", Err: err}
	}
	return nil
}

// run starts the worker and waits for its end.
func (c *Call) run(ctx context.Context, until time.Time, s *setup) ([]byte, error) {
	lines, err := openLifelines()
	if err != nil {
		return nil, spawnError("lifeline", err)
	}
	defer func() { lines.close() }()
	streams, err := c.streams()
	if err != nil {
		return nil, spawnError("stdio", err)
	}
	defer streams.close()
	var child *sys.Child
	std := streams.files
	fds := []int{int(std[0].Fd()), int(std[1].Fd()), int(std[2].Fd()), s.theirs.Int(), lines.theirGroup.Int(), lines.their.Int()}
	err = sys.WithFullRights(func() (err error) {
		child, err = sys.Spawn(s.program, argv(), s.env, fds)
		return err
	})
	if err != nil {
		if child != nil { // it was started, but the rights of this thread could not be restored
			child.Kill()
			child.WaitLater()
		}
		return nil, spawnError("start the program again", err)
	}
	closeAll(s.theirs, lines.their)
	streams.closeWorkerFiles()
	x := exchange{
		channel: s.ours, lines: lines, child: child, limit: c.limit, until: until,
		turns: wire.Turns{Forks: s.target.joins(species.CLONE_NEWPID)},
	}
	if !x.turns.Forks {
		lines.armGroup(child)
	}
	s.ours, lines = nil, nil // the exchange closes them
	return x.run(ctx, streams)
}

// SwitchToNamespaces replaces the process, as execve(2) does, by one in the target's namespaces that runs the handler
// and exits: with status 0, or if the handler returns an error, with status 1 and a message on standard error. The
// result is discarded. The process keeps its environment, its standard descriptors and all others that are not
// close-on-exec; Stdin, Stdout, Stderr and MaxResult have no effect. In a set-user-ID program all IDs become the
// effective ones. If a PID namespace is joined, the process stays outside: a child runs the handler, and the process
// ends as that child does. A signal that ends the process kills the child, and no signal is passed on.
//
// If it returns, it returns an error, and nothing has changed. A failure to join comes later: it ends the process with
// status 125 and a message on standard error, before any Go code runs. It requires what SpawnInNamespaces does.
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
