package discover

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

var (
	// ErrStale says that a discovered namespace is gone, and that what refers to it leads to another one or to none.
	ErrStale = sys.ErrStale
	// ErrNotSupported says that the system or the kernel cannot do it; the error around it says what.
	ErrNotSupported = sys.ErrNotSupported

	errUnknownWord = errors.New("unknown word")
)

// Error is every error of this package: what was done, with what, and why it failed.
type Error struct {
	Op   string                // what was being done, such as "discover"
	Type species.NamespaceType // of the namespace, NaNS if it is about none
	Ref  string                // the namespace, path or word
	Err  error                 // the cause; an errno survives in it
}

// Error returns operation, object and cause.
func (e *Error) Error() string {
	object := e.Ref
	if e.Type != species.NaNS {
		object = species.Set(e.Type).String() + " namespace " + object
	}
	if object != "" {
		object = " " + object
	}
	return e.Op + object + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Problem is something that a discovery could not see. It is no error: the rest of the result holds.
type Problem struct {
	Source    Sources               // what was looked for
	PID       int                   // of the process, 0 if it is not about one
	TID       int                   // of the task, 0 if it is not about one
	FD        int                   // descriptor, for sources that are about them
	Type      species.NamespaceType // of the namespace, NaNS if it is not about one
	Namespace species.NamespaceID   // for instance the mount namespace that could not be read
	Path      string
	Errno     syscall.Errno // EACCES and EPERM: the caller lacks rights; ETIMEDOUT: longer than Options.Patience
}

// String returns what could not be seen, and why.
func (p Problem) String() string {
	text := p.Source.String()
	if p.PID != 0 {
		text += " of process " + strconv.Itoa(p.PID)
	}
	if p.TID != 0 {
		text += ", task " + strconv.Itoa(p.TID)
	}
	if p.FD != 0 {
		text += ", descriptor " + strconv.Itoa(p.FD)
	}
	switch {
	case p.Type == species.NaNS:
	case p.Namespace.Ino == 0:
		text += " of type " + p.Type.Name()
	default:
		text += " of " + p.Namespace.LinkText(p.Type)
	}
	if p.Path != "" {
		text += " at " + strconv.Quote(p.Path)
	}
	return text + ": " + p.Errno.Error()
}

func compareProblems(a, b Problem) int {
	return cmp.Or(a.PID-b.PID, a.TID-b.TID, cmp.Compare(a.Source, b.Source), a.FD-b.FD, facts.TypeIndex(a.Type)-facts.TypeIndex(b.Type),
		cmp.Compare(a.Namespace.Ino, b.Namespace.Ino), strings.Compare(a.Path, b.Path))
}
