package handle

import (
	"fmt"
	"runtime"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
)

// Equal says whether both handles are of the same namespace.
func (ns NsHandle) Equal(other NsHandle) bool {
	if ns == other {
		return true
	}
	a, err := sys.IDOf(int(ns))
	if err != nil {
		return false
	}
	b, err := sys.IDOf(int(other))
	return err == nil && a == b
}

// String returns the descriptor and the identity, as netns does: NS(fd: dev, ino), NS(none) or NS(fd: unknown).
func (ns NsHandle) String() string {
	if !ns.IsOpen() {
		return "NS(none)"
	}
	id, err := sys.IDOf(int(ns))
	if err != nil {
		return fmt.Sprintf("NS(%d: unknown)", ns)
	}
	return fmt.Sprintf("NS(%d: %d, %d)", ns, id.Dev, id.Ino)
}

// UniqueId returns the identity alone, NS(dev:ino), or NS(none) or NS(unknown). It tells apart namespaces that exist at
// the same time: numbers of those that are gone are given out again. [Serial] is never used again.
func (ns NsHandle) UniqueId() string {
	if !ns.IsOpen() {
		return "NS(none)"
	}
	id, err := sys.IDOf(int(ns))
	if err != nil {
		return "NS(unknown)"
	}
	return fmt.Sprintf("NS(%d:%d)", id.Dev, id.Ino)
}

// Close closes the handle and sets it to None; again, or on None, it is EBADF. Copies of the handle are not set: they
// must not be used any more.
func (ns *NsHandle) Close() error {
	err := syscall.Close(int(*ns))
	*ns = None()
	if err != nil {
		return &Error{Op: "close", Ref: "handle", Err: err}
	}
	return nil
}

// NsFd returns the descriptor itself; its closer does nothing.
func (ns NsHandle) NsFd() (int, FdCloser, error) {
	if !ns.IsOpen() {
		return -1, nil, invalid(ns, fmt.Errorf("%w: %w", ErrClosed, syscall.EBADF))
	}
	return int(ns), noCloser, nil
}

// Dup returns another handle of the namespace, which the caller closes.
func (ns NsHandle) Dup() (NsHandle, error) { return duplicate(ns) }

func duplicate(r Relation) (NsHandle, error) {
	fd, closer, err := r.NsFd()
	if err != nil {
		return None(), err
	}
	defer closer()
	defer runtime.KeepAlive(r)
	copied, err := sys.DupFD(fd)
	if err != nil {
		return None(), &Error{Op: "duplicate", Ref: r.String(), Err: err}
	}
	return NsHandle(copied.Disown()), nil
}
