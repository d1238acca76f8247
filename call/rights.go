package call

import (
	"fmt"
	"math"

	"github.com/nsops/nsops/internal/wire"
)

// rights are what a call says of the worker's user and capabilities.
type rights struct {
	uid, gid    uint32 // with wire.FlagUser
	asTarget    bool   // no capability that the target has not
	confined    bool   // none for the programs that the handler starts
	mountedRoot bool   // the root of the mount namespace rather than the target's
}

// DropPrivs makes the worker an unprivileged process for good: the caller's real UID and GID where they are not 0, else
// 65534, or those of User, no supplementary groups, no capabilities in any set, no_new_privs. They are numbers of the
// target's user namespace if that is joined. The call fails in stage privileges if anything of this cannot be had:
// it requires CAP_SETUID, CAP_SETGID and CAP_SETPCAP there, IDs that the user namespace maps, and, for a caller with
// supplementary groups, one that does not deny setgroups(2). See man 7 credentials, man 7 capabilities.
func (c *Call) DropPrivs() *Call {
	c.flags |= wire.FlagDropPrivs
	return c
}

// User sets the worker's user and group by number: real, effective and saved. They are numbers of the target's user
// namespace if that is joined, which has to map them; without User, the worker is its root then. Supplementary groups
// are given up. A UID other than 0 has no capabilities, as after setuid(2); only in a user namespace that maps no root
// it keeps them, unless DropPrivs is wanted, too. It requires CAP_SETUID and CAP_SETGID there.
func (c *Call) User(uid, gid int) *Call {
	if uid < 0 || gid < 0 || int64(uid) >= math.MaxUint32 || int64(gid) >= math.MaxUint32 {
		c.fail(&Error{Handler: c.name, Stage: StagePrivileges, Op: "user", Err: fmt.Errorf("%d:%d: %w", uid, gid, errNoID)})
	}
	c.flags |= wire.FlagUser
	c.rights.uid, c.rights.gid = uint32(uid), uint32(gid)
	return c
}

// TargetCapabilities leaves the worker, and what it starts, only capabilities that the target has: its permitted and its
// bounding set are made no larger than the target's, before anybody in the target's PID namespace can see the worker. If
// the target's user namespace is not ours, nor joined, that is none: outside of it the target has no capabilities.
// Whoever is able to take over the worker gains nothing by it, then: a container that has CAP_SYS_PTRACE and no user
// namespace of its own is able to. It requires CAP_SETPCAP, unless nothing is to be taken away.
func (c *Call) TargetCapabilities() *Call {
	c.rights.asTarget = true
	return c
}

// ConfinePrograms makes sure that no program which the handler starts has any capability, even one started as UID 0:
// the bounding set is emptied and SECBIT_NOROOT set, for good. Without it, and without DropPrivs, a program of the
// container that a worker of UID 0 starts has all capabilities of the worker's bounding set: in the caller's user
// namespace, if no other was joined. The handler keeps its own. It requires CAP_SETPCAP; see man 7 capabilities.
func (c *Call) ConfinePrograms() *Call {
	c.rights.confined = true
	return c
}

// NamespaceRoot gives the worker the root directory of the mount namespace, rather than the target's, which is another
// one if the target has called chroot(2).
func (c *Call) NamespaceRoot() *Call {
	c.rights.mountedRoot = true
	return c
}
