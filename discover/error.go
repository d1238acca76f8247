package discover

import (
	"errors"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

var (
	// ErrStale says that a namespace that was discovered is gone, and that what refers to it leads to another one or
	// to none.
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
