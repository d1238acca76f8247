//go:build linux

package sys

import "sync/atomic"

// Feature is a call that not every supported kernel has, with a fallback where it is missing.
type Feature int

// The features and the kernel that brought them.
const (
	PidfdNamespaces  Feature = iota // PIDFD_GET_*_NAMESPACE, 6.11
	PidfdThread                     // pidfd_open of a thread, 6.9
	SetnsPidfd                      // setns(2) with a pidfd and a mask, 5.8
	PidfdInode                      // pidfds with an inode number for each process, 6.9
	PidfdInfo                       // PIDFD_GET_INFO, 6.13
	NamespaceSerials                // NS_GET_ID of every namespace, 6.18
	NamespaceHandles                // file handles of namespaces, 6.18
	PIDTranslation                  // NS_GET_PID_FROM_PIDNS and NS_GET_PID_IN_PIDNS, 6.11
	RootedPaths                     // openat2(2), 5.6
	ProcLinks                       // /proc/thread-self/ns, 3.17 and wherever /proc is mounted
	TaskIterators                   // BPF iterators, 5.8
	RightsRefusal                   // SO_PASSRIGHTS, 6.16
	GroupSignals                    // PIDFD_SIGNAL_PROCESS_GROUP, 6.9
	MemoryFiles                     // memfd_create(2), 3.17, but a policy may forbid it
	PrivateMounts                   // fsopen(2) and fsmount(2) of a tmpfs, 5.2, with CAP_SYS_ADMIN
	features
)

var missing [features]atomic.Bool

// Pretend makes a feature look missing until the function returned is called. It is for tests of the fallbacks.
func Pretend(f Feature) (restore func()) {
	missing[f].Store(true)
	return func() { missing[f].Store(false) }
}

func pretended(f Feature) bool { return missing[f].Load() }
