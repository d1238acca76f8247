package call

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// lifelines are two sockets whose ends close when the caller does, even by SIGKILL. The kernel kills the worker by the
// first one, which the bootstrap has armed, and the worker's process group by the second one. A signal is sent in the
// name of whoever said whom to send it to: so for the group that is the caller, who may kill more than the worker might.
type lifelines struct {
	our, their           *sys.FD
	ourGroup, theirGroup *sys.FD
}

func openLifelines() (l *lifelines, err error) {
	l = &lifelines{}
	if l.our, l.their, err = sys.Socketpair(); err == nil {
		l.ourGroup, l.theirGroup, err = sys.Socketpair()
	}
	if err == nil { // nothing can be sent to our ends: with it could come descriptors, see sys.Inbox
		err = errors.Join(sys.StopReceiving(l.our), sys.StopReceiving(l.ourGroup))
	}
	if err != nil {
		l.close()
		return nil, err
	}
	// Their end of the group's socket has to outlive ours in this process, or nobody gets the signal if the worker has
	// ended before. The kernel releases what a process has open at its end in the order of the numbers, the highest first.
	if l.theirGroup.Int() > l.ourGroup.Int() {
		l.ourGroup, l.theirGroup = l.theirGroup, l.ourGroup
	}
	return l, nil
}

// holdGroup makes the process group of a worker die with us, which it leads as soon as it is ready. One that is gone
// needs no holding.
func (l *lifelines) holdGroup(worker *sys.Child) { _ = sys.OwnGroup(l.theirGroup, worker.PID) }

// cut ends the worker and its group.
func (l *lifelines) cut() { closeAll(l.our, l.ourGroup) }

// close leaves alone what a worker that has ended has left behind. It may be called again, and on nil.
func (l *lifelines) close() {
	if l == nil {
		return
	}
	if l.theirGroup != nil {
		_ = sys.OwnGroup(l.theirGroup, 0)
	}
	closeAll(l.our, l.their, l.ourGroup, l.theirGroup)
}

// holdOwnGroup is the worker's part of it: the group is there now. It waits until the caller has done holdGroup, or has
// ended: a signal in the worker's own name would not reach whatever becomes another user.
func holdOwnGroup(lifeline int) error {
	group := sys.NewFD(workerGroup)
	defer group.Disown()
	for !sys.OwnsItsGroup(group) {
		if ready, err := sys.WaitReadable(time.Now().Add(time.Millisecond/5), lifeline); err != nil || ready[0] {
			return syscall.EPIPE
		}
	}
	return sys.KillGroupAtEnd(group)
}

// watch kills the worker when its caller ends, if the kernel may not: a handler can become a user whom the caller may not
// kill, with IDs that only its user namespace knows. With the worker goes its process group, if it has one of its own.
func watch(lifeline int, group bool) {
	if ready, err := sys.WaitReadable(time.Time{}, lifeline); err == nil && ready[0] {
		sys.KillSelf(group)
	}
}

// ignoresLifelines reports whether this process is the first one of a PID namespace, which is killed by nobody inside: the
// kernel takes the signal of a lifeline for one of these.
func ignoresLifelines() bool { return os.Getpid() == 1 }

// mayKillAnybody reports whether the kernel lets this process kill all users' processes by a lifeline.
func mayKillAnybody() bool { return os.Geteuid() == 0 && isInInitialUserNamespace() }

// isInInitialUserNamespace asks once: a process with several threads stays in its user namespace.
var isInInitialUserNamespace = sync.OnceValue(func() bool {
	user, err := sys.ThreadNamespaceID(species.CLONE_NEWUSER)
	return err == nil && user.Ino == species.InitialInode(species.CLONE_NEWUSER)
})
