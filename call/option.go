package call

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nsops/nsops/species"
)

// Option says how a Func runs; see Func.In. Those with the name of a method of Call mean the same.
type Option func(c *Call)

// AllTypes has the namespaces of all eight types joined.
func AllTypes(c *Call) { c.types, c.byTarget = species.AllNS, false }

// Types sets the types of which namespaces are joined, if they are not the caller's own.
func Types(types ...species.NamespaceType) Option {
	return func(c *Call) { c.types, c.byTarget = c.union("types", types), false }
}

// Exclude takes types out of those that are joined.
func Exclude(types ...species.NamespaceType) Option {
	return func(c *Call) { c.excluded |= c.union("excluded types", types) }
}

// Require adds types to those that are joined. It is ErrSameNamespace if the target is in the caller's own namespace of
// one of them.
func Require(types ...species.NamespaceType) Option {
	return func(c *Call) {
		c.required |= c.union("required types", types)
		c.differ |= c.required
	}
}

// AllowSame lets the function run even if no namespace of the target differs from the caller's own: then on the host.
func AllowSame(c *Call) { c.someDiffer = false }

// InThread runs the function on a thread of this process that ends afterwards, instead of a worker: in microseconds
// instead of milliseconds. User, PID and time namespaces are handle.ErrNeedsReexec then, and options about a worker's
// rights, environment and streams are errors. Argument and result are copied as for a worker, but the function shares
// variables, descriptors and rights with the program. Goroutines that it starts are not in the namespaces. When the
// context and Grace have ended, Do returns, but the function cannot be killed, and goes on. See package handle.
func InThread(c *Call) { c.inThread = true }

// Grace sets how long the function may go on after the end of its context, which is one second without it. Then, and at
// once when the caller ends, the worker and its process group are killed (SIGKILL). A function that never asks for the
// end of its context is killed at once. Do returns within Grace and KillTimeout.
func Grace(d time.Duration) Option { return func(c *Call) { c.grace = max(d, 0) } }

// DropPrivs is Call.DropPrivs.
func DropPrivs(c *Call) { c.DropPrivs() }

// TargetCapabilities is Call.TargetCapabilities. It requires a process as the target.
func TargetCapabilities(c *Call) { c.TargetCapabilities() }

// ConfinePrograms is Call.ConfinePrograms.
func ConfinePrograms(c *Call) { c.ConfinePrograms() }

// NamespaceRoot is Call.NamespaceRoot.
func NamespaceRoot(c *Call) { c.NamespaceRoot() }

// RemountSys is Call.RemountSys.
func RemountSys(c *Call) { c.RemountSys() }

// User is Call.User.
func User(uid, gid int) Option { return func(c *Call) { c.User(uid, gid) } }

// Env is Call.Env.
func Env(assignments ...string) Option { return func(c *Call) { c.Env(assignments...) } }

// Args are the worker's os.Args after the program's name.
func Args(args ...string) Option {
	return func(c *Call) {
		if strings.ContainsRune(strings.Join(args, ""), 0) {
			c.fail(&Error{Stage: StageSpawn, Op: "arguments", Err: errors.New("an argument has a NUL byte")})
		}
		c.args = slices.Clone(args)
	}
}

// OnlyEnv has the worker inherit nothing of the caller's environment: it has only these assignments, those of Env, and
// NSOPS_DEPTH.
func OnlyEnv(assignments ...string) Option {
	return func(c *Call) {
		c.onlyEnv = true
		c.Env(assignments...)
	}
}

// TargetEnv gives the function the environment that the target's process was started with, instead of the caller's; Env
// adds to it. The program itself starts without it, since it can choose code that is loaded. It requires the right to
// inspect the process (CAP_SYS_PTRACE over it); proc_pid_environ(5).
func TargetEnv(c *Call) { c.onlyEnv, c.targetEnv = true, true }

// Dir sets the working directory, a path in the worker's root directory. Without it, that is / if a mount namespace or
// another root is joined, else the caller's.
func Dir(path string) Option { return func(c *Call) { c.dir = path } }

// MaxResult is Call.MaxResult; of a []byte it is the length.
func MaxResult(bytes uint64) Option { return func(c *Call) { c.MaxResult(bytes) } }

// Stdin is Call.Stdin.
func Stdin(r io.Reader) Option { return func(c *Call) { c.Stdin(r) } }

// Stdout is Call.Stdout.
func Stdout(w io.Writer) Option { return func(c *Call) { c.Stdout(w) } }

// Stderr is Call.Stderr.
func Stderr(w io.Writer) Option { return func(c *Call) { c.Stderr(w) } }
