package handle

import (
	"fmt"
	"runtime"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
)

// Equal reports whether both handles are of the same namespace.
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
func (ns NsHandle) String() string { return ns.text(strconv.Itoa(int(ns))+": ", ", ") }

// UniqueId returns the identity alone, NS(dev:ino), or NS(none) or NS(unknown). It is unique among the namespaces that
// exist: the numbers of those that are gone are used again. A [Serial] is never used again.
func (ns NsHandle) UniqueId() string { return ns.text("", ":") }

func (ns NsHandle) text(prefix, separator string) string {
	if !ns.IsOpen() {
		return "NS(none)"
	}
	id, err := sys.IDOf(int(ns))
	if err != nil {
		return "NS(" + prefix + "unknown)"
	}
	return fmt.Sprintf("NS(%s%d%s%d)", prefix, id.Dev, separator, id.Ino)
}

// Close closes the handle and sets it to None; again, or on None, it is EBADF. Copies keep the
// number: do not use them any more.
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
