package testutil

import (
	"os"
	"syscall"
	"testing"

	"github.com/nsops/nsops/species"
)

// DefaultTypes are the types of new namespaces of a target, unless its options name others.
const DefaultTypes = species.Set(species.CLONE_NEWNS | species.CLONE_NEWUTS | species.CLONE_NEWIPC |
	species.CLONE_NEWPID | species.CLONE_NEWNET)

// TargetOptions describe a target. The zero value is a target with DefaultTypes.
//
// With mnt among the types, its mounts are private; with pid too, it has a new /proc.
type TargetOptions struct {
	Types    species.Set // 0: DefaultTypes
	Hostname string      // "": nsops-target; without uts it is the caller's
	// UserBase is the UID and GID that the target's root has outside, if user is among the types. Root maps 65536 IDs from
	// there on; with 0, each to itself. Other users can map only themselves, and it is ignored.
	UserBase int
	LoUp     bool   // the loopback interface is up
	OwnRoot  bool   // the root is a tmpfs with busybox in /bin, and /dev, /proc, /sys; requires mnt
	Setup    string // shell script that the target runs as root before it sleeps
}

func (o TargetOptions) withDefaults() TargetOptions {
	if o.Types == 0 {
		o.Types = DefaultTypes
	}
	if o.Hostname == "" {
		o.Hostname = "nsops-target"
	}
	return o
}

// has reports whether all these types are among those of the target.
func (o TargetOptions) has(types species.NamespaceType) bool { return o.Types.Has(types) }

// need skips the test if such a target cannot be made here.
func (o TargetOptions) need(t testing.TB) {
	t.Helper()
	if !o.has(species.CLONE_NEWUSER) && os.Geteuid() != 0 {
		NeedRoot(t)
	}
	NeedCommand(t, "mount", "hostname", "nsenter")
	if o.has(species.CLONE_NEWTIME) {
		NeedCommand(t, "unshare")
	}
	if o.LoUp {
		NeedCommand(t, "ip")
	}
	if o.OwnRoot {
		NeedCommand(t, "busybox", "pivot_root")
	}
}

// attributes makes clone(2) create all namespaces but time, whose bit is part of the exit signal there.
func (o TargetOptions) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: uintptr(o.Types.Without(species.CLONE_NEWTIME))}
	if o.has(species.CLONE_NEWUSER) {
		mapRoot(a, o.UserBase)
	}
	return a
}

// mapRoot makes the child root of its new user namespace, with as many mapped IDs as the caller may map.
func mapRoot(a *syscall.SysProcAttr, base int) {
	uid, gid, size := base, base, 65536
	if !isRoot() {
		uid, gid, size = os.Geteuid(), os.Getegid(), 1
	}
	a.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: size}}
	a.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: size}}
	a.GidMappingsEnableSetgroups = isRoot()
	a.Credential = &syscall.Credential{NoSetGroups: !isRoot()}
}
