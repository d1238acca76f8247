package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// Call describes one call of a handler: build it, then end it with SpawnInNamespaces or SwitchToNamespaces. It may be
// ended more than once, from one goroutine at a time. The first error of the builder is returned by the ending method.
type Call struct {
	name     string
	arg      any
	pid      int
	identity sys.Identity
	types    species.NamespaceType
	foreign  species.NamespaceType // of these, the target's must not be ours
	flags    uint32
	rights   rights
	limit    uint64
	ctx      context.Context
	env      []string
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	err      error
}

// defaultTypes are joined unless Namespaces says otherwise.
const defaultTypes = species.CLONE_NEWNS | species.CLONE_NEWUTS | species.CLONE_NEWIPC | species.CLONE_NEWNET

// How long things may take.
const (
	// StartTimeout is how long a worker may take to start its handler: the Go runtime opens files of the target when it
	// starts, and a hostile target can make that hang.
	StartTimeout = 30 * time.Second
	// DefaultTimeout is how long a call without Context may take.
	DefaultTimeout = 10 * time.Minute
	// KillTimeout is how much longer than its context a call may take: a worker that is frozen, or hangs in the kernel,
	// does not end when it is killed. The call returns then, and the worker is reaped when it does end.
	KillTimeout = time.Second
)

// NewCall returns a call of the handler that was registered under name. Its target is PID 1 unless TargetPid names
// another: outside of containers that is the host itself, whose namespaces mostly are ours already. The namespaces joined
// are mnt, uts, ipc and net unless Namespaces names others.
func NewCall(name string) *Call {
	return &Call{name: name, pid: 1, types: defaultTypes, limit: DefaultMaxResult}
}

// DefaultMaxResult is the size in bytes of the largest result, as JSON, without MaxResult.
const DefaultMaxResult = 256 << 20

// MaxResult sets the size in bytes of the largest result, as JSON. A larger one is not read, and is an error.
func (c *Call) MaxResult(bytes uint64) *Call {
	c.limit = bytes
	return c
}

// Arg sets the handler's argument. It travels as JSON; there is no limit to its size but memory.
func (c *Call) Arg(arg any) *Call {
	c.arg = arg
	return c
}

// TargetPid sets the process whose namespaces are joined: a PID of the caller's PID namespace, of any live process but
// a kernel thread. The process that has it now is meant: if it ends and its PID is used again, the call is ErrStale. Of a
// process, its first thread counts, and if that has ended, its oldest; a TID stands for that thread itself.
//
// Our own PID is allowed, and so is any other process outside of containers: the handler runs in our own namespaces
// then, on the host, unless MustDiffer forbids that.
func (c *Call) TargetPid(pid int) *Call {
	c.pid = pid
	identity, err := identify(pid)
	if err != nil {
		c.fail(&Error{Handler: c.name, Stage: StageTarget, Op: describe(pid), Err: err})
	}
	c.identity = identity
	return c
}

// Namespaces sets what is joined, in place of mnt, uts, ipc and net. Those that the target shares with the calling
// thread are passed over: MustDiffer refuses such a target. With user, the worker is root of that user namespace and has
// all its capabilities; one that maps no root is an error, see User. With mnt, its root directory is the target's, see
// NamespaceRoot. With pid, the worker is a process in that PID namespace, and visible there; its executable is then a
// sealed copy, made once in each process that calls.
func (c *Call) Namespaces(types ...species.NamespaceType) *Call {
	c.types = c.union("namespaces", types)
	return c
}

// MustDiffer makes a call an error, in stage target, if the target is in the calling thread's own namespace of one of
// these types, whether that is among those to be joined or not. Without it, a target such as the caller itself, a process
// of the host or a container that shares the host's network runs the handler there. Whoever means a container asks for
// the types of which the handler relies on it, such as CLONE_NEWNS for files. The error is ErrSameNamespace.
func (c *Call) MustDiffer(types ...species.NamespaceType) *Call {
	c.foreign = c.union("types that must differ", types)
	return c
}

func (c *Call) union(op string, types []species.NamespaceType) species.NamespaceType {
	union := species.NaNS
	for _, t := range types {
		if t&^species.AllNS != 0 || t == species.NaNS {
			c.fail(&Error{Handler: c.name, Stage: StageTarget, Op: op, Type: t, Err: errNoType})
		}
		union |= t
	}
	return union
}

// RemountSys gives the worker a /sys that shows the network namespace it is in, with nosuid, nodev and noexec, and
// read-only if it was. This happens in a mount namespace of the worker's own: nobody else sees it. What is mounted
// below the old /sys, such as cgroups, is hidden. It takes CAP_SYS_ADMIN over the network and the mount namespace.
func (c *Call) RemountSys() *Call {
	c.flags |= wire.FlagRemountSys
	return c
}

// Context sets a context. Its end kills the worker and, once the handler runs, its process group; the error is then
// context.Cause, within KillTimeout. Without Context, a call may take DefaultTimeout; with one that has no deadline, the
// handler may run without end. In each case a worker must have started its handler within StartTimeout.
// SwitchToNamespaces looks at the context only before it acts.
func (c *Call) Context(ctx context.Context) *Call {
	c.ctx = ctx
	return c
}

// Env adds assignments such as "LANG=C" to the environment of the worker, which otherwise is the caller's. A later one
// replaces an earlier one, and an inherited one, of the same name. What is no assignment is an error of the call.
func (c *Call) Env(assignments ...string) *Call {
	for _, a := range assignments {
		if strings.IndexByte(a, '=') < 1 || strings.IndexByte(a, 0) >= 0 {
			c.fail(&Error{Handler: c.name, Stage: StageSpawn, Op: "environment", Err: fmt.Errorf("%q: %w", a, errNoAssignment)})
		}
	}
	c.env = append(c.env, assignments...)
	return c
}

// Stdin sets the worker's standard input; without it, that is empty. An *os.File is passed on as it is, unless it is a
// terminal; anything else is copied through a pipe, and a Read that has begun may end after the call. It has no effect
// on SwitchToNamespaces.
func (c *Call) Stdin(r io.Reader) *Call {
	c.stdin = r
	return c
}

// Stdout sets the worker's standard output; without it, that is the caller's. An *os.File is passed on as it is, unless
// it is a terminal; anything else gets a copy of what is written until the worker ends, whoever else can still write
// then, and an error of its Write is one of the call. The worker writes to a socket then, which cannot be opened again as
// /dev/stdout. A pipe that is passed on must not be read by anybody who cannot bear to hang: a worker in hostile hands can
// put pages into it that nobody can read (splice(2) from FUSE). It has no effect on SwitchToNamespaces.
func (c *Call) Stdout(w io.Writer) *Call {
	c.stdout = w
	return c
}

// Stderr sets the worker's standard error, as Stdout does for its standard output. Both may be the same.
func (c *Call) Stderr(w io.Writer) *Call {
	c.stderr = w
	return c
}

func (c *Call) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// context returns the call's context, and until when the call may take, zero if for ever.
func (c *Call) context() (context.Context, time.Time) {
	if c.ctx == nil {
		return context.Background(), time.Now().Add(DefaultTimeout)
	}
	deadline, _ := c.ctx.Deadline()
	return c.ctx, deadline
}

// blame makes every error an *Error that names the handler.
func (c *Call) blame(err error) error {
	var e *Error
	if err == nil {
		return nil
	}
	if !errors.As(err, &e) {
		e = &Error{Stage: StageProtocol, Err: err}
	}
	e.Handler = c.name
	return e
}
