package call

import (
	"errors"
	"os"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

var errExposed = errors.New("others see the worker, and could trace it while fs.suid_dumpable is 1: set it to 0 or 2")

// exposed refuses a worker that somebody who could not do so otherwise could trace for a moment. Where fs.suid_dumpable is
// 1, a process is dumpable after each change of credentials until it says otherwise (man 5 proc_sys_fs). Before the fork
// into a PID namespace nobody inside sees it. But a target that is in our own PID namespace does, and so do users outside:
// the one who has made the user namespace, and without one whoever the worker becomes.
func exposed(request *wire.Request, t *target) error {
	changes := request.Types&uint32(species.CLONE_NEWUSER) != 0 || request.Flags&(wire.FlagUser|wire.FlagDropPrivs) != 0
	if !changes || !sys.SuidDumpable() {
		return nil
	}
	seen, err := t.seesOurs()
	if err == nil && !seen && t.joins(species.CLONE_NEWUSER) {
		seen, err = t.hasOtherOwner()
	}
	if err == nil && seen {
		err = errExposed
	}
	if err != nil {
		return &Error{Stage: StagePrivileges, Op: "check", Err: err}
	}
	return nil
}

// seesOurs reports whether processes that have rights over what the worker becomes are in our PID namespace.
func (t *target) seesOurs() (bool, error) {
	if !t.joins(species.CLONE_NEWUSER) {
		return true, nil
	}
	if t.joins(species.CLONE_NEWPID) {
		return false, nil
	}
	ours, err := sys.ThreadNamespaceID(species.CLONE_NEWPID)
	if err != nil {
		return false, err
	}
	theirs, err := t.process.NamespaceID(species.CLONE_NEWPID)
	return theirs == ours, err
}

// hasOtherOwner reports whether the target's user namespace, or one between it and ours, was made by another user than
// root and the caller. Such a user is outside of it, and has all rights over it.
func (t *target) hasOtherOwner() (bool, error) {
	ours, err := sys.ThreadNamespaceID(species.CLONE_NEWUSER)
	if err != nil {
		return false, err
	}
	ns, err := t.process.OpenNamespace(species.CLONE_NEWUSER)
	if err != nil {
		return false, err
	}
	return isOthers(ns, ours)
}

// isOthers closes the user namespace.
func isOthers(ns *sys.FD, ours species.NamespaceID) (bool, error) {
	defer func() { _ = ns.Close() }()
	if id, err := sys.IDOf(ns.Int()); err != nil || id == ours {
		return false, err
	}
	uid, err := sys.OwnerUIDOf(ns.Int())
	if err != nil || uid != 0 && uid != os.Geteuid() {
		return true, err
	}
	parent, err := sys.ParentOf(ns.Int())
	if err != nil {
		return false, err
	}
	return isOthers(parent, ours)
}
