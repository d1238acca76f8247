package sys

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// Feature is something that not every supported system has, and for which there is a fallback or an error.
type Feature int

// The features.
const (
	ProcLinks     Feature = iota // needs /proc
	MemoryFiles                  // may be forbidden by a policy
	PrivateMounts                // requires CAP_SYS_ADMIN
	RootedPaths                  // may be refused by a seccomp filter
	SetnsPidfd                   // not of a thread before PidfdThread
	NetworkCookies
	PidfdThread
	PidfdInode
	GroupSignals
	PidfdNamespaces
	PIDTranslation
	MountSerials
	PidfdInfo
	RightsRefusal
	NamespaceSerials
	NamespaceHandles
	TaskIterators // requires CAP_BPF and CAP_PERFMON
	features
)

// table has of each feature its name, as in docs/kernels.md, the first kernel that has it, and a probe, which returns an
// error if it is missing. Without a probe, every supported kernel has it, and whoever uses it tries.
var table = [features]struct {
	name, since string
	probe       func() error
}{
	ProcLinks:        {"/proc/thread-self/ns", "3.17", nil},
	MemoryFiles:      {"memfd_create(2)", "3.17", nil},
	PrivateMounts:    {"fsopen(2), fsmount(2), move_mount(2)", "5.2", nil},
	RootedPaths:      {"openat2(2)", "5.6", nil},
	SetnsPidfd:       {"setns(2) with a pidfd and several types", "5.8", nil},
	NetworkCookies:   {"64-bit IDs of network namespaces (SO_NETNS_COOKIE)", "5.14", probeCookies},
	PidfdThread:      {"pidfds of threads (PIDFD_THREAD)", "6.9", probePidfdThread},
	PidfdInode:       {"pidfds with an inode number of their own", "6.9", pidfdProbe(probePidfdInode)},
	GroupSignals:     {"PIDFD_SIGNAL_PROCESS_GROUP", "6.9", pidfdProbe(probeGroupSignals)},
	PidfdNamespaces:  {"PIDFD_GET_*_NAMESPACE", "6.11", pidfdProbe(probePidfdNamespaces)},
	PIDTranslation:   {"PIDs in other PID namespaces (NS_GET_PID_IN_PIDNS)", "6.11", namespaceProbe(species.CLONE_NEWPID, ownPIDIn)},
	MountSerials:     {"64-bit IDs of mount namespaces (NS_GET_MNTNS_ID)", "6.11", namespaceProbe(species.CLONE_NEWNS, raw.MountSerial)},
	PidfdInfo:        {"PIDFD_GET_INFO", "6.13", pidfdProbe(probePidfdInfo)},
	RightsRefusal:    {"SO_PASSRIGHTS", "6.16", probeRightsRefusal},
	NamespaceSerials: {"64-bit IDs of all namespaces (NS_GET_ID)", "6.18", namespaceProbe(species.CLONE_NEWUSER, raw.Serial)},
	NamespaceHandles: {"file handles of namespaces", "6.18", namespaceProbe(species.CLONE_NEWUSER, raw.HandleOf)},
	TaskIterators:    {"BPF iterators of threads and descriptors, with 64-bit IDs", "6.18", probeTaskIterators},
}

// Have reports whether this kernel has the feature, by trying it. Nothing is changed by that.
func Have(f Feature) bool {
	return !pretended(f) && (table[f].probe == nil || table[f].probe() == nil)
}

// Missing returns ErrNotSupported, the name of the feature, its first kernel, and the error.
func (f Feature) Missing(err error) error {
	return fmt.Errorf("%w: %s (Linux %s): %w", ErrNotSupported, table[f].name, table[f].since, err)
}

// IsMissing reports whether the error of a call means that the kernel does not know it.
func IsMissing(err error) bool {
	errnos := []error{unix.ENOSYS, unix.ENOTTY, unix.EOPNOTSUPP, unix.ENOPROTOOPT}
	return slices.ContainsFunc(errnos, func(errno error) bool { return errors.Is(err, errno) })
}

var missing [features]atomic.Bool

// Pretend makes a feature look missing until the function returned is called. It is for tests of the fallbacks.
func Pretend(f Feature) (restore func()) {
	missing[f].Store(true)
	return func() { missing[f].Store(false) }
}

func pretended(f Feature) bool { return missing[f].Load() }

// The probes of the features, in the order of the table. Each tries the feature on the calling thread or its namespaces.

func probeCookies() error {
	_, err := NetworkCookie()
	return err
}

func probePidfdThread() error {
	fd, err := openPidfd(raw.OwnTID(), true)
	_ = fd.Close()
	return err
}

func probePidfdInode(pidfd int) error { return isOn(pidfd, unix.PID_FS_MAGIC, unix.EOPNOTSUPP) }

func probeGroupSignals(pidfd int) error {
	err := unix.PidfdSendSignal(pidfd, 0, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if err == unix.ESRCH { // this process leads no group
		return nil
	}
	return err
}

func probePidfdNamespaces(pidfd int) error {
	fd, err := Own(raw.PidfdNamespace(pidfd, unix.PIDFD_GET_USER_NAMESPACE))
	_ = fd.Close()
	return err
}

func probePidfdInfo(pidfd int) error {
	var info raw.ProcessInfo
	return asError(raw.PidfdInfo(pidfd, &info))
}

func ownPIDIn(namespace int) (int, syscall.Errno) { return raw.PIDIn(namespace, raw.OwnPID()) }

func probeRightsRefusal() error {
	a, b, err := Socketpair()
	if err != nil {
		return err
	}
	defer func() { _, _ = a.Close(), b.Close() }()
	return unix.SetsockoptInt(a.Int(), unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0)
}

// probeTaskIterators does not load a program, which takes long, but looks for what it needs.
func probeTaskIterators() error {
	if err := MayTrace(); err != nil {
		return err
	}
	return namespaceProbe(species.CLONE_NEWUSER, raw.Serial)()
}

// pidfdProbe tries something with a pidfd of this process.
func pidfdProbe(try func(pidfd int) error) func() error {
	return func() error {
		fd, err := openPidfd(raw.OwnPID(), false)
		if err != nil {
			return err
		}
		defer func() { _ = fd.Close() }()
		return try(fd.Int())
	}
}

// namespaceProbe asks the calling thread's namespace of type t something.
func namespaceProbe[T any](t species.NamespaceType, ask func(fd int) (T, syscall.Errno)) func() error {
	return func() error {
		fd, err := OpenThreadNamespace(t)
		if err != nil {
			return err
		}
		defer func() { _ = fd.Close() }()
		_, errno := ask(fd.Int())
		return asError(errno)
	}
}
