package handle

import (
	"fmt"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// ErrStale says that a reference leads to another namespace or process than the one it was made for.
var ErrStale = sys.ErrStale

// Error is every error of this package: what was done to which namespace, and why it could not be.
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
	return fmt.Sprintf("%s %s namespace of %s: %v", e.Op, e.Type.Name(), e.Ref, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
