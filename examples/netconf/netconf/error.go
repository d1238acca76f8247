package netconf

import "errors"

// Sentinels, to be asked for with errors.Is.
var (
	// ErrDiffers says that the interface is there and ours, but not as configured. Delete it, then apply again.
	ErrDiffers = errors.New("is not as configured")
	// ErrForeign says that something is in the way that is not ours.
	ErrForeign = errors.New("was not made by this program")
	// ErrOwnNamespace says that the target is the network namespace of the host side, or of the calling thread.
	ErrOwnNamespace = errors.New("is our own network namespace")
	// ErrNeedsPID says that a part of the configuration is of processes, but the target is a path or a name.
	ErrNeedsPID = errors.New("needs a target given by PID")
)

// Error is every error of this package.
type Error struct {
	Op  string // what was being done, such as "config" or "apply to"
	Ref string // to what: a field of the configuration, or the target
	Err error  // the cause; an errno survives in it
}

// Error returns operation, object and cause.
func (e *Error) Error() string { return e.Op + " " + e.Ref + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
