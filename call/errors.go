package call

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// Sentinels for errors.Is.
var (
	// ErrNotLinked says that the program lacks the bootstrap, which requires Linux and cgo. Nothing was started.
	ErrNotLinked = errors.New("no bootstrap in this program: build it for Linux with CGO_ENABLED=1 and a C compiler")
	// ErrNotRegistered says that no handler of that name is registered, in the caller or in the worker.
	ErrNotRegistered = errors.New("no such handler registered")
	// ErrStale says that another process has got the target's PID since TargetPid: the inode number of the pidfd has
	// changed, or before Linux 6.9 the start time.
	ErrStale = sys.ErrStale
	// ErrTargetGone says that the target has ended: before the call, so that its PID is nobody's or another process's, or
	// during the call, which then killed the worker if that was in its PID namespace.
	ErrTargetGone = errors.New("the target has ended")
	// ErrSameNamespace says that target and calling thread share a namespace of a type that MustDiffer names.
	ErrSameNamespace = errors.New("the namespace is the caller's own")
)

var errForeign = errors.New("a worker in another mount namespace cannot call: its /proc is the target's")

// Stage is the part of a call that failed.
type Stage int

// Stages of a call, in their order.
const (
	StageTarget     Stage = wire.StageTarget     // finding the target and its namespaces; nothing was started
	StageSpawn      Stage = wire.StageSpawn      // starting and hardening the worker, up to the start of the handler
	StageJoin       Stage = wire.StageJoin       // joining; the worker has run no Go code
	StageMounts     Stage = wire.StageMounts     // RemountSys; the same
	StagePrivileges Stage = wire.StagePrivileges // groups, keyring, DropPrivs; the same
	StageHandler    Stage = wire.StageHandler    // the handler failed, panicked, exited or was killed
	StageProtocol   Stage = wire.StageProtocol   // caller and worker could not exchange records; the handler may have run
)

var stageNames = [...]string{"", "target", "spawn", "join", "mounts", "privileges", "handler", "protocol"}

// String returns the stage's name, such as "join".
func (s Stage) String() string {
	if s < StageTarget || s > StageProtocol {
		return fmt.Sprintf("stage %d", int(s))
	}
	return stageNames[s]
}

// Error is every error that this package returns. What Err holds depends on the stage: an errno, a *RemoteError, a
// *PanicError, an *ExitError or a cause of another kind.
type Error struct {
	Handler string                // the name it is registered under
	Stage   Stage                 // the part of the call that failed
	Type    species.NamespaceType // the type that could not be joined, NaNS if the cause is another
	Op      string                // what was being done, such as "setns"
	Err     error                 // the cause
}

// Error returns all fields in one line.
func (e *Error) Error() string {
	words := []string{e.Stage.String()}
	if op := strings.TrimSpace(e.Op + " " + species.Set(e.Type).String()); op != "" {
		words = append(words, op)
	}
	if e.Handler == "" {
		return fmt.Sprintf("call: %s: %v", strings.Join(words, ": "), e.Err)
	}
	return fmt.Sprintf("call %q: %s: %v", e.Handler, strings.Join(words, ": "), e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports that a target which has ended (ESRCH) is also fs.ErrNotExist and ErrTargetGone, and so is one of which the
// PID is that of another process (ErrStale).
func (e *Error) Is(target error) bool {
	if e.Stage > StageJoin {
		return false
	}
	gone := errors.Is(e.Err, syscall.ESRCH) || e.Stage == StageTarget && errors.Is(e.Err, ErrStale)
	return target == ErrTargetGone && gone || sys.IsGone(e.Err, target)
}

func spawnError(op string, err error) error { return &Error{Stage: StageSpawn, Op: op, Err: err} }

// RemoteError is an error that the handler returned in the worker. Its text may hold any bytes: quote it before you
// print it if the target may be hostile. errors.Is finds every errno that the error wraps, and these sentinels of
// packages io, io/fs, os, context and errors: EOF, ErrUnexpectedEOF, ErrClosedPipe, ErrShortBuffer, ErrShortWrite and
// ErrNoProgress; ErrInvalid, ErrPermission, ErrExist, ErrNotExist and ErrClosed; ErrDeadlineExceeded, ErrNoDeadline and
// ErrProcessDone; Canceled and DeadlineExceeded; ErrUnsupported; net.ErrClosed, exec.ErrNotFound, and those that
// RegisterError was called for. It is a net.Error that tells a timeout.
type RemoteError struct {
	Text    string // of the handler's error, at most 64 KiB
	causes  []error
	timeout bool
}

// Error returns the text of the handler's error.
func (e *RemoteError) Error() string { return e.Text }

// Timeout reports whether the handler's error was a timeout, as net.Error has it.
func (e *RemoteError) Timeout() bool { return e.timeout }

// Temporary returns false. It makes a *RemoteError a net.Error.
func (e *RemoteError) Temporary() bool { return false }

// Unwrap returns the errnos and sentinels of the handler's error.
func (e *RemoteError) Unwrap() []error { return e.causes }

// PanicError is a panic of the handler.
type PanicError struct {
	Value string // the panic's value as fmt.Sprint prints it
	Stack []byte // of the goroutine that panicked, as debug.Stack prints it
}

// Error returns the value; the stack is in Stack.
func (e *PanicError) Error() string { return "handler panicked: " + e.Value }

// ExitError says how a worker ended that sent no result, or failed after it: by os.Exit, a signal or a crash.
type ExitError struct {
	Code   int            // exit status, -1 if a signal ended the worker
	Signal syscall.Signal // that signal, 0 if there was none
}

// Error returns the status or the signal.
func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("worker killed by signal %d (%v)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("worker exited with status %d", e.Code)
}
