package sys

import (
	"errors"
	"io/fs"
	"syscall"
)

// Sentinels that several packages export under their own name, so that errors.Is holds across them.
var (
	// ErrStale says that a reference no longer leads to what it was made for.
	ErrStale = errors.New("stale reference")
	// ErrNotSupported says that the kernel or the system lacks a feature; the error around it names both.
	ErrNotSupported = errors.New("not supported here")
)

// IsGone reports whether err says that a process is gone, and target is what that means: ESRCH is fs.ErrNotExist, too. It
// is for the Is methods of the packages' errors, so that no place is missed from which ESRCH comes.
func IsGone(err, target error) bool { return target == fs.ErrNotExist && errors.Is(err, syscall.ESRCH) }

// Identity distinguishes a process from a later one with its PID: by inode number (Linux 6.9) or start in clock ticks.
type Identity struct{ Inode, Start uint64 }
