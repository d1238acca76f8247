package call

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// Call describes one call of a handler. Its methods set options; SpawnInNamespaces or SwitchToNamespaces makes the call,
// and returns the first error of all. A Call may be made again, but only by one goroutine at a time.
type Call struct {
	name        string
	arg         any
	target      Target
	types       species.NamespaceType
	byTarget    bool                  // instead of types, what suits the target
	differ      species.NamespaceType // types of MustDiffer
	required    species.NamespaceType // also joined
	excluded    species.NamespaceType
	someDiffer  bool // one of the types at least
	flags       uint32
	uid, gid    uint32 // with wire.FlagUser
	asTarget    bool   // no capability that the target lacks
	confined    bool   // no capability for the programs that the handler starts
	inThread    bool
	mountedRoot bool // the root of the mount namespace, not the target's
	limit       uint64
	ctx         context.Context
	grace       time.Duration
	args        []string // after the program's name
	env         []string
	onlyEnv     bool   // nothing is inherited
	targetEnv   bool   // that of the target comes before env
	dir         string // "" as after the join
	stdin       io.Reader
	stdout      io.Writer
	stderr      io.Writer
	err         error
}

// Limits.
const (
	// StartTimeout is how long a worker may take to start its handler: a hostile target can make the Go runtime hang.
	StartTimeout = 30 * time.Second
	// DefaultTimeout is how long a call without Context may take.
	DefaultTimeout = 10 * time.Minute
	// KillTimeout is how long a call may take after the end of its context. A worker that is frozen, or blocked in the
	// kernel, ends later, and is reaped then.
	KillTimeout = time.Second
	// DefaultMaxResult is the limit for the size of a result, in bytes of JSON, without MaxResult.
	DefaultMaxResult = 256 << 20
)

// NewCall returns a call of the handler that is registered under name. Without TargetPid the target is PID 1, which on a
// host usually is in the caller's namespaces. Without Namespaces the types mnt, uts, ipc and net are joined.
func NewCall(name string) *Call {
	return &Call{name: name, target: Target{name: describe(1), source: processSource(1)}, types: defaultTypes, limit: DefaultMaxResult}
}

const defaultTypes = species.CLONE_NEWNS | species.CLONE_NEWUTS | species.CLONE_NEWIPC | species.CLONE_NEWNET

// MaxResult sets the limit for the size of a result, in bytes of JSON. A larger result is not read, and is an error.
func (c *Call) MaxResult(bytes uint64) *Call {
	c.limit = bytes
	return c
}

// Arg sets the handler's argument. It is sent as JSON; only memory limits its size.
func (c *Call) Arg(arg any) *Call {
	c.arg = arg
	return c
}

// TargetPid sets the target by its PID in the caller's PID namespace. The target is the process that has the PID now: if
// it ends and another one gets its PID, the call returns ErrStale. A kernel thread or a zombie cannot be a target. The
// namespaces are those of the first thread of the process, or if that has ended, of the oldest that runs. A TID selects
// that thread. With the caller's own PID, or that of a process outside of containers, the handler runs in the caller's
// own namespaces, on the host, unless MustDiffer forbids that.
func (c *Call) TargetPid(pid int) *Call {
	c.target = PID(pid)
	c.fail(c.target.err)
	return c
}

// Namespaces sets the types that are joined, instead of mnt, uts, ipc and net. A namespace that the target shares with
// the calling thread is not joined again; MustDiffer makes that an error. With user, the worker is root of that user
// namespace and has all capabilities in it; if it maps no root, the call fails, see User. With mnt, the worker's root
// directory is the target's, see NamespaceRoot. With pid, the worker is visible in that PID namespace; it then executes
// a sealed copy of the program, which each calling process makes once.
func (c *Call) Namespaces(types ...species.NamespaceType) *Call {
	c.types, c.byTarget = c.union("namespaces", types), false
	return c
}

// MustDiffer makes the call return ErrSameNamespace, in stage target, if the target is in the calling thread's own
// namespace of one of these types, joined or not. Without it, the handler runs on the host if the target is the caller
// itself or a process of the host, and in the host's network if a container shares that. For a target that must be a
// container, name the types on which the handler relies, such as CLONE_NEWNS for files.
func (c *Call) MustDiffer(types ...species.NamespaceType) *Call {
	c.differ = c.union("types that must differ", types)
	return c
}

func (c *Call) union(op string, types []species.NamespaceType) species.NamespaceType {
	union := species.NaNS
	for _, t := range types {
		if t&^species.AllNS != 0 || t == species.NaNS {
			c.fail(&Error{Stage: StageTarget, Op: op, Type: t, Err: errors.New("not a type of namespace")})
		}
		union |= t
	}
	return union
}

// RemountSys gives the worker a /sys that shows its network namespace, with nosuid, nodev and noexec, and read-only if
// the old one was. It is in a new mount namespace, where no other process sees it, and hides what is mounted below the
// old /sys, such as cgroups. It requires CAP_SYS_ADMIN in the owners of the network and mount namespace; see man 5 sysfs.
func (c *Call) RemountSys() *Call {
	c.flags |= wire.FlagRemountSys
	return c
}

// DropPrivs removes all privileges of the worker for good: it has the UID and GID of User, or without User the caller's
// real ones, 65534 in place of 0; no supplementary groups, no capabilities in any set, no_new_privs. The IDs are those
// of the target's user namespace if that is joined. If any of this fails, the call fails in stage privileges: it
// requires CAP_SETUID, CAP_SETGID and CAP_SETPCAP in the worker's user namespace, which must map the IDs and, for a
// caller with supplementary groups, allow setgroups(2). See man 7 credentials, man 7 capabilities.
func (c *Call) DropPrivs() *Call {
	c.flags |= wire.FlagDropPrivs
	return c
}

// User sets the worker's real, effective and saved UID and GID. They are those of the target's user namespace if that
// is joined, which must map them; without User, the worker is its root then. Supplementary groups are dropped. A worker
// with a UID other than 0 has no capabilities, as after setuid(2); in a user namespace that maps no root it keeps them,
// unless DropPrivs is set, too. It requires CAP_SETUID and CAP_SETGID in the worker's user namespace.
func (c *Call) User(uid, gid int) *Call {
	if uid < 0 || gid < 0 || int64(uid) >= math.MaxUint32 || int64(gid) >= math.MaxUint32 {
		c.fail(&Error{Stage: StagePrivileges, Op: "user", Err: fmt.Errorf("%d:%d: not a UID and a GID", uid, gid)})
	}
	c.flags |= wire.FlagUser
	c.uid, c.gid = uint32(uid), uint32(gid)
	return c
}

// TargetCapabilities limits the capabilities of the worker, and of what it starts, to those of the target: the permitted
// and the bounding set become no larger than the target's, before a process in the target's PID namespace can see the
// worker. If the target's user namespace is neither the caller's nor joined, the worker has none: the target has none
// outside of its user namespace. So a process that takes over the worker gains no capability; a container that has
// CAP_SYS_PTRACE and no user namespace of its own can do that. It requires CAP_SETPCAP, unless nothing is to be removed.
func (c *Call) TargetCapabilities() *Call {
	c.asTarget = true
	return c
}

// ConfinePrograms empties the bounding set and sets SECBIT_NOROOT, for good: no program that the handler starts has any
// capability, not even as UID 0. The handler keeps its own. Without ConfinePrograms and DropPrivs, a program that a
// worker with UID 0 starts, such as one of the container, has all capabilities of the worker's bounding set, in the
// caller's user namespace if no other was joined. It requires CAP_SETPCAP; see man 7 capabilities.
func (c *Call) ConfinePrograms() *Call {
	c.confined = true
	return c
}

// NamespaceRoot gives the worker the root directory of the mount namespace, also if the target has called chroot(2).
func (c *Call) NamespaceRoot() *Call {
	c.mountedRoot = true
	return c
}

// Context sets a context. When it ends, the worker is killed, and once the handler runs, its process group, too; the
// call returns context.Cause within KillTimeout. Without Context, a call may take DefaultTimeout; with a context that
// has no deadline, the handler may run for ever. In each case it must start within StartTimeout. SwitchToNamespaces
// checks the context once, before it changes anything.
func (c *Call) Context(ctx context.Context) *Call {
	c.ctx = ctx
	return c
}

// Env adds assignments such as "LANG=C" to the environment that the worker inherits from the caller. An assignment
// replaces earlier ones of the same name, and an inherited one. Text of another form makes the call fail.
func (c *Call) Env(assignments ...string) *Call {
	for _, a := range assignments {
		if strings.IndexByte(a, '=') < 1 || strings.IndexByte(a, 0) >= 0 {
			c.fail(&Error{Stage: StageSpawn, Op: "environment", Err: fmt.Errorf("%q: not NAME=VALUE", a)})
		}
	}
	c.env = append(c.env, assignments...)
	return c
}

// Stdin sets the worker's standard input, which is /dev/null without it. An *os.File is passed on as it is, unless it is
// a terminal. Any other reader is copied into a pipe; its last Read may return after the call does.
func (c *Call) Stdin(r io.Reader) *Call {
	c.stdin = r
	return c
}

// Stdout sets the worker's standard output. Without it, that is the caller's. An *os.File is passed on as it is, unless
// it is a terminal. Any other writer gets a copy of what is written until the worker ends, even if other processes
// could still write; an error of its Write is an error of the call. The worker then writes to a socket, which cannot be
// opened as /dev/stdout. The reader of a pipe that is passed on may hang for ever: a hostile worker can splice(2) a
// page into it that never becomes readable (FUSE). Stdout has no effect on SwitchToNamespaces.
func (c *Call) Stdout(w io.Writer) *Call {
	c.stdout = w
	return c
}

// Stderr sets the worker's standard error, as Stdout does for its standard output. Both may be the same writer.
func (c *Call) Stderr(w io.Writer) *Call {
	c.stderr = w
	return c
}

// SpawnInNamespaces starts a worker in the target's namespaces, runs the handler there, waits for its end, and decodes
// its result into ret, a pointer as for json.Unmarshal; nil discards the result. The namespaces, threads and descriptors
// of the caller do not change, and the caller accepts no descriptor of a worker. A worker that could not join all
// namespaces runs no Go code. It starts in the calling thread's namespaces.
//
// It requires the right to inspect the target (CAP_SYS_PTRACE over it), CAP_SYS_ADMIN in the user namespaces that own
// the namespaces to be joined (man 2 setns), and Linux 5.10. Every error is an *Error.
func (c *Call) SpawnInNamespaces(ret any) error {
	if v := reflect.ValueOf(ret); ret != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return c.annotate(&Error{Stage: StageTarget, Op: "result", Err: fmt.Errorf("decode into %T: not a pointer", ret)})
	}
	arg, err := json.Marshal(c.arg)
	if err != nil {
		return c.annotate(&Error{Stage: StageHandler, Op: "encode argument", Err: err})
	}
	body, err := c.spawn(arg)
	if err == nil && ret != nil {
		if err = json.Unmarshal(body, ret); err != nil {
			err = &Error{Stage: StageProtocol, Op: "decode result", Err: err}
		}
	}
	return c.annotate(err)
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
	arg, err := json.Marshal(c.arg)
	if err != nil {
		return c.annotate(&Error{Stage: StageHandler, Op: "encode argument", Err: err})
	}
	return c.annotate(c.switchTo(arg))
}

func (c *Call) fail(err error) { c.err = cmp.Or(c.err, err) }

// context returns the call's context and its deadline, zero if there is none.
func (c *Call) context() (context.Context, time.Time) {
	if c.ctx == nil {
		return context.Background(), time.Now().Add(DefaultTimeout)
	}
	deadline, _ := c.ctx.Deadline()
	return c.ctx, deadline
}

// annotate makes every error an *Error that names the handler.
func (c *Call) annotate(err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Stage: StageProtocol, Err: err}
	_ = errors.As(err, &e)
	own := *e // a Target has its error for all calls
	own.Handler = c.name
	return &own
}
