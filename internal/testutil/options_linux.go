package testutil

import (
	"os"
	"syscall"
	"testing"

	"github.com/nsops/nsops/species"
)

// DefaultTypes are the namespaces of a target's own unless its options say otherwise.
const DefaultTypes = species.Set(species.CLONE_NEWNS | species.CLONE_NEWUTS | species.CLONE_NEWIPC |
	species.CLONE_NEWPID | species.CLONE_NEWNET)

// TargetOptions say what a target has for its own. The zero value is a target with DefaultTypes.
//
// With mnt among the types the mounts are private; with pid too, /proc is its own.
type TargetOptions struct {
	Types    species.Set // 0: DefaultTypes
	Hostname string      // "": nsops-target; without uts it is the caller's
	// UserBase is the uid and gid that the target's root has outside, if user is among the types. As root, 65536 IDs
	// are mapped from there: 0 maps each to itself. Anybody else can map themselves only, and it is ignored.
	UserBase int
	LoUp     bool   // the loopback interface is up
	OwnRoot  bool   // the root is a tmpfs with busybox in /bin, and /dev, /proc, /sys; needs mnt
	Setup    string // shell script run by the target's root before it falls asleep
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

// has says whether all these types are among those of the target.
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

// attributes has the kernel make all namespaces but time, whose bit clone(2) takes for a signal.
func (o TargetOptions) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: uintptr(o.Types.Without(species.CLONE_NEWTIME))}
	if o.has(species.CLONE_NEWUSER) {
		mapRoot(a, o.UserBase)
	}
	return a
}

// mapRoot makes the child root of its new user namespace, and there as privileged as the caller can have it.
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
