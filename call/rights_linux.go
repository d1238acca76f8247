package call

import (
	"fmt"
	"os"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// Of linux/securebits.h: UID 0 gets no capabilities by execve(2), and that stays so.
const noRoot, noRootLocked = 1, 2

// apply puts into the request who the worker is to be.
func (r rights) apply(request *wire.Request, t *target) error {
	request.UID, request.GID = unprivileged(os.Getuid()), unprivileged(os.Getgid())
	if request.Flags&wire.FlagUser != 0 {
		request.UID, request.GID = r.uid, r.gid
	}
	if r.asTarget {
		permitted, bounding, err := t.capabilities()
		if err != nil {
			return &Error{Stage: StageTarget, Op: "capabilities", Err: err}
		}
		request.Lose, request.Unbound = ^permitted, ^bounding
	}
	if r.confined {
		request.Unbound = ^uint64(0)
		request.Securebits = noRoot | noRootLocked
	}
	if request.Flags&wire.FlagDropPrivs != 0 {
		request.Lose, request.Unbound = ^uint64(0), ^uint64(0)
	}
	return exposed(request, t)
}

// capabilities returns those that the target has in the worker's user namespace: none if it is in another one. It may go
// to a new one, where it has all, at any time, but cannot come back: so where it is counts after its sets were read.
func (t *target) capabilities() (permitted, bounding uint64, err error) {
	permitted, bounding, err = t.process.Capabilities()
	if err != nil {
		return 0, 0, err
	}
	workers := t.user
	if !t.joins(species.CLONE_NEWUSER) {
		if workers, err = sys.ThreadNamespaceID(species.CLONE_NEWUSER); err != nil {
			return 0, 0, err
		}
	}
	theirs, err := t.process.NamespaceID(species.CLONE_NEWUSER)
	if err != nil || theirs != workers {
		return 0, 0, err
	}
	return permitted, bounding, nil
}

// findRoot opens the target's root directory, if that is to become the worker's.
func (t *target) findRoot(wanted species.NamespaceType, r rights) error {
	if wanted&species.CLONE_NEWNS == 0 || r.mountedRoot {
		return nil
	}
	root, err := t.process.OpenRoot()
	if err != nil {
		return &Error{Stage: StageTarget, Op: "root directory", Err: sys.ExplainInspect(err)}
	}
	if !t.joins(species.CLONE_NEWNS) && sys.IsRoot(root) {
		return root.Close()
	}
	t.root = root
	return nil
}

// explainWorker adds what an errno of the bootstrap means that is about who the worker is to be; nil if it is not.
func explainWorker(r wire.Record) error {
	errno, inside := syscall.Errno(r.Errno), r.Type == uint32(species.CLONE_NEWUSER)
	switch step := r.StepName(); {
	case (step == "setresuid" || step == "setresgid") && inside && errno == syscall.EINVAL:
		return fmt.Errorf("the target's user namespace does not map ID %d: choose a user that it maps with User: %w", uint32(r.Pid), errno)
	case step == "setgroups" && inside && errno == syscall.EPERM:
		return fmt.Errorf("the caller's supplementary groups would stay, as the target's user namespace denies setgroups(2): %w", errno)
	case step == "one thread":
		return fmt.Errorf("a library, perhaps a preloaded one, started a thread before the bootstrap ran, and setns(2) would "+
			"move only one of them: %w", errno)
	case step == "root":
		return fmt.Errorf("the target's root directory is not in its mount namespace; NamespaceRoot does without: %w", errno)
	case step == "chroot":
		return fmt.Errorf("the target's root directory cannot be taken; NamespaceRoot does without: %w", errno)
	}
	return nil
}
