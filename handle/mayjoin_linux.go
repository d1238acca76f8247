package handle

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// MayJoin returns nil if the rules of the kernel permit the calling thread to join a namespace, or several of one
// [Process] at once, by one call of setns(2). Otherwise the error has the errno of that call. Nothing is joined. Lock
// the goroutine to its thread (runtime.LockOSThread) if the rights of threads differ.
//
//	EPERM   a capability is lacking: errors.As finds a [*species.CapabilityError], which says which one, and where
//	EINVAL  it is the caller's own user namespace, or a PID namespace that is neither its own nor below that
//	ENOMEM  it can be joined, but the first process of that PID namespace has ended, and no other can be started
//	ESRCH   the process has ended
//
// To join user (EINVAL) and time namespaces (EUSERS), a Go program has too many threads: ErrNeedsReexec. With a
// CapabilityError in the error, a process with a single thread would be refused as well.
//
// A mount namespace is joined after unshare(CLONE_FS), as by [Execute], which also leaves out what of a process is the
// caller's own and may not be joined again. What a seccomp filter or a security module refuses is not known before.
// Before Linux 6.11 it requires /proc. Whether the process may be inspected depends on effective capabilities here, and
// for setns(2) on permitted ones (ptrace(2), PTRACE_MODE_READ_REALCREDS).
func MayJoin(refs ...Relation) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	found, err := stepsBut(0, refs)
	if err != nil {
		return err
	}
	defer closeSteps(found)
	if len(found) != 1 {
		return &Error{Op: "join", Ref: "references", Err: fmt.Errorf("%d calls of setns(2): %w", len(found), syscall.EINVAL)}
	}
	if err := found[0].may(); err != nil {
		return found[0].err("join", err)
	}
	return nil
}

func (s step) may() error {
	err := sys.MayJoin(species.Set(s.mask), s.fd)
	switch {
	case errors.Is(err, sys.ErrThreads):
		return fmt.Errorf("%w: %w", ErrNeedsReexec, err)
	case s.process != nil:
		return ended(s.process.p, err)
	case err == nil && s.mask == species.CLONE_NEWPID && isDead(s.fd):
		return fmt.Errorf("the first process of that PID namespace has ended: %w", syscall.ENOMEM)
	}
	return err
}

// isDead reports whether the first process of a PID namespace has ended. Before it was started, pid_for_children of who
// is to start it is missing.
func isDead(fd int) bool {
	pid, err := TranslatePID(1, NamespaceFd(fd), nil)
	if err == nil {
		p, err := sys.OpenProcess(pid)
		defer func() { _ = p.Close() }()
		return err == nil && !p.Alive()
	}
	_, missing := inside(func() (fd int, err error) {
		if fd, err = sys.OpenCurrent(species.CLONE_NEWPID); err == nil {
			raw.CloseNoWait(fd)
		}
		return fd, err
	}, NamespaceFd(fd))
	return errors.Is(err, syscall.ESRCH) && missing == nil
}
