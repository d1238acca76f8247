package call

import (
	"cmp"
	"errors"
	"os"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

const (
	nobody = 65534 // the overflow UID and GID of man 7 user_namespaces
	// SECBIT_NOROOT and SECBIT_NOROOT_LOCKED of linux/securebits.h: UID 0 gets no capabilities by execve(2), for good.
	noRoot, noRootLocked = 1, 2
)

// applyRights writes the worker's user and capabilities into the request.
func (c *Call) applyRights(request *wire.Request, t *target) error {
	request.UID, request.GID = uint32(cmp.Or(os.Getuid(), nobody)), uint32(cmp.Or(os.Getgid(), nobody))
	if request.Flags&wire.FlagUser != 0 {
		request.UID, request.GID = c.uid, c.gid
	}
	if c.asTarget {
		permitted, bounding, err := t.capabilities()
		if err != nil {
			return &Error{Stage: StageTarget, Op: "capabilities", Err: err}
		}
		request.Lose, request.Unbound = ^permitted, ^bounding
	}
	if c.confined {
		request.Unbound = ^uint64(0)
		request.Securebits = noRoot | noRootLocked
	}
	if request.Flags&wire.FlagDropPrivs != 0 {
		request.Lose, request.Unbound = ^uint64(0), ^uint64(0)
	}
	return refuseExposed(request, t)
}

// capabilities returns the target's capabilities in the worker's user namespace: none if the target is in another one.
// The target may move to a new user namespace at any time, where it has all capabilities, but not back. So its sets are
// read before its user namespace is compared.
func (t *target) capabilities() (permitted, bounding uint64, err error) {
	if t.process == nil {
		return 0, 0, errors.New("the target is no process")
	}
	permitted, bounding, err = t.process.Capabilities()
	if err != nil {
		return 0, 0, err
	}
	theirs, err := t.process.NamespaceID(species.CLONE_NEWUSER)
	workers := t.user
	if err == nil && !t.joins(species.CLONE_NEWUSER) {
		workers, err = sys.ThreadNamespaceID(species.CLONE_NEWUSER)
	}
	if err != nil || theirs != workers {
		return 0, 0, err
	}
	return permitted, bounding, nil
}

// refuseExposed returns an error if others could trace the worker for a moment. Where fs.suid_dumpable is 1, each
// change of credentials makes a process dumpable (man 5 proc_sys_fs). The bootstrap makes these changes before the fork
// into a PID namespace, so nobody inside sees the worker then; but processes of our own PID namespace do.
func refuseExposed(request *wire.Request, t *target) error {
	changes := request.Types&uint32(species.CLONE_NEWUSER) != 0 || request.Flags&(wire.FlagUser|wire.FlagDropPrivs) != 0
	if !changes || !sys.SuidDumpable() {
		return nil
	}
	if hidden, err := t.hidesWorker(); hidden || err != nil {
		return err
	}
	err := errors.New("others could trace the worker for a moment while fs.suid_dumpable is 1: set it to 0 or 2")
	return &Error{Stage: StagePrivileges, Op: "check", Err: err}
}

// hidesWorker reports whether nobody who sees the worker while it changes credentials has rights over it: it joins a
// user namespace that root or the caller has created, and the target is in another PID namespace.
func (t *target) hidesWorker() (bool, error) {
	if !t.joins(species.CLONE_NEWUSER) {
		return false, nil // other processes have its UID
	}
	if shared, err := t.shares(species.CLONE_NEWPID); shared || err != nil {
		return false, err
	}
	user, err := t.openNamespace(species.CLONE_NEWUSER)
	if err != nil {
		return false, err
	}
	defer func() { _ = user.Close() }()
	return sys.OnlyTrustedMade(user), nil
}

// findRoot opens the target's root directory if it becomes the worker's.
func (t *target) findRoot(wanted species.NamespaceType, mountedRoot bool) error {
	if wanted&species.CLONE_NEWNS == 0 || mountedRoot || t.process == nil || t.refs[species.CLONE_NEWNS] != nil {
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
