package call

import (
	"fmt"
	"math"

	"github.com/nsops/nsops/internal/wire"
)

// rights are the options for the worker's user, capabilities and root directory.
type rights struct {
	uid, gid    uint32 // with wire.FlagUser
	asTarget    bool   // no capability that the target lacks
	confined    bool   // no capability for the programs that the handler starts
	mountedRoot bool   // the root of the mount namespace, not the target's
}

// DropPrivs removes all privileges of the worker for good: it has the UID and GID of User, or without User the caller's
// real ones, 65534 in place of 0; no supplementary groups, no capabilities in any set, no_new_privs. The IDs are those
// of the target's user namespace if that is joined. If any of this fails, the call fails in stage privileges: it
// requires CAP_SETUID, CAP_SETGID and CAP_SETPCAP in the worker's user namespace, which must map the IDs and, for a
// caller with supplementary groups, allow setgroups(2). See man 7 credentials, man 7 capabilities.
func (c *Call) DropPrivs() *Call {
	c.flags |= wire.FlagDropPrivs
	return c
}

// User sets the worker's real, effective and saved UID and GID. They are those of the target's user namespace if that
// is joined, which must map them; without User, the worker is its root then. Supplementary groups are dropped. A worker
// with a UID other than 0 has no capabilities, as after setuid(2); in a user namespace that maps no root it keeps them,
// unless DropPrivs is set, too. It requires CAP_SETUID and CAP_SETGID in the worker's user namespace.
func (c *Call) User(uid, gid int) *Call {
	if uid < 0 || gid < 0 || int64(uid) >= math.MaxUint32 || int64(gid) >= math.MaxUint32 {
		c.fail(&Error{Stage: StagePrivileges, Op: "user", Err: fmt.Errorf("%d:%d: not a UID and a GID", uid, gid)})
	}
	c.flags |= wire.FlagUser
	c.rights.uid, c.rights.gid = uint32(uid), uint32(gid)
	return c
}

// TargetCapabilities limits the capabilities of the worker, and of what it starts, to those of the target: the permitted
// and the bounding set become no larger than the target's, before a process in the target's PID namespace can see the
// worker. If the target's user namespace is neither the caller's nor joined, the worker has none: the target has none
// outside of its user namespace. So a process that takes over the worker gains no capability; a container that has
// CAP_SYS_PTRACE and no user namespace of its own can do that. It requires CAP_SETPCAP, unless nothing is to be removed.
func (c *Call) TargetCapabilities() *Call {
	c.rights.asTarget = true
	return c
}

// ConfinePrograms empties the bounding set and sets SECBIT_NOROOT, for good: no program that the handler starts has any
// capability, not even as UID 0. The handler keeps its own. Without ConfinePrograms and DropPrivs, a program that a
// worker with UID 0 starts, such as one of the container, has all capabilities of the worker's bounding set, in the
// caller's user namespace if no other was joined. It requires CAP_SETPCAP; see man 7 capabilities.
func (c *Call) ConfinePrograms() *Call {
	c.rights.confined = true
	return c
}

// NamespaceRoot gives the worker the root directory of the mount namespace, also if the target has called chroot(2).
func (c *Call) NamespaceRoot() *Call {
	c.rights.mountedRoot = true
	return c
}
