package handle

import (
	"errors"
	"fmt"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

var (
	// ErrStale says that a reference leads to another namespace or process than the one it was made for, or to none.
	ErrStale = sys.ErrStale
	// ErrNotSupported says that the kernel lacks a feature; the error around it names the feature and its first kernel.
	ErrNotSupported = sys.ErrNotSupported
	// ErrNeedsReexec says that no thread of a Go program can join or create a namespace of that type: the kernel permits
	// that only to processes with a single thread. Package call starts one, in the namespaces of a process or in those that
	// references lead to.
	ErrNeedsReexec = errors.New("requires a process with a single thread: package call starts one")
	// ErrNeedsThread says that a thread which joins a mount namespace cannot be given back: use Execute or Go.
	ErrNeedsThread = errors.New("requires a thread that ends afterwards: use Execute or Go")
	// ErrClosed says that a handle is None or was closed.
	ErrClosed = errors.New("handle is closed")
	// ErrTainted says that a thread could not be brought back to where it came from. It stays locked to its goroutine,
	// which should end, and the Go runtime ends the thread with it.
	ErrTainted = errors.New("thread stays in other namespaces and locked; end its goroutine")
	// ErrUnknownContainer says that no running container has that name, or an ID that begins like that.
	ErrUnknownContainer = errors.New("no running container has such an ID or name")
	// ErrAmbiguous says that several running containers have that name, or IDs that begin like that.
	ErrAmbiguous = errors.New("several containers have such an ID or name")
	// ErrNotImplemented is the answer on systems without namespaces.
	ErrNotImplemented = errors.New("not implemented")
)

// Error is every error of this package, but for those that package os looks into (see Errors in the documentation of
// the package): what was done to which namespace, and why it could not be. The errors of queries are an
// [*InvalidNamespaceError] or a [*NamespaceOperationError], and an *Error for errors.As.
type Error struct {
	Op   string                // what was being done, such as "open"
	Type species.NamespaceType // of the namespace, NaNS if not known
	Ref  string                // the path, name or process
	Err  error                 // the cause; an errno survives in it
}

// Error returns operation, object and cause.
func (e *Error) Error() string {
	if e.Type == species.NaNS {
		return fmt.Sprintf("%s %s: %v", e.Op, e.Ref, e.Err)
	}
	return fmt.Sprintf("%s %s namespace of %s: %v", e.Op, typeWord(e.Type), e.Ref, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes ESRCH, a process that is gone, also fs.ErrNotExist.
func (e *Error) Is(target error) bool { return sys.IsGone(e.Err, target) }

// typeWord is "net", "mnt,net", or for what is no type the number.
func typeWord(t species.NamespaceType) string { return species.Set(t).String() }

// InvalidNamespaceError says that a reference does not lead to a namespace, or to one of another type than it says.
type InvalidNamespaceError struct {
	Ref string // the reference, as its String has it
	Err error  // the cause; an errno survives in it
}

// Error returns the reference and the cause.
func (e *InvalidNamespaceError) Error() string {
	return "invalid namespace " + e.Ref + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *InvalidNamespaceError) Unwrap() error { return e.Err }

// Is makes ESRCH, a process that is gone, also fs.ErrNotExist.
func (e *InvalidNamespaceError) Is(target error) bool { return sys.IsGone(e.Err, target) }

// As makes an *Error of it.
func (e *InvalidNamespaceError) As(target any) bool { return e.as(target, "open") }

func (e *InvalidNamespaceError) as(target any, op string) bool {
	general, ok := target.(**Error)
	if ok {
		*general = &Error{Op: op, Ref: e.Ref, Err: e.Err}
	}
	return ok
}

// NamespaceOperationError says that a namespace did not answer a query: it has no such property,
// or the caller may not know it.
type NamespaceOperationError struct {
	InvalidNamespaceError
	Op string // the query, such as "owner"
}

// Error returns query, reference and cause.
func (e *NamespaceOperationError) Error() string { return e.Op + " of " + e.Ref + ": " + e.Err.Error() }

// As makes an *Error of it.
func (e *NamespaceOperationError) As(target any) bool { return e.as(target, e.Op) }
