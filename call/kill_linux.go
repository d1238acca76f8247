package call

import (
	"cmp"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// maxGarbage is how many records findWorker skips. The send buffer of a socket holds fewer.
const maxGarbage = 1 << 16

// askToEnd tells a handler that its context has ended, and waits until the worker ends, for the time of grace at most.
func (x *exchange) askToEnd(err error) {
	worker := cmp.Or(x.worker, x.child)
	if e := (*Error)(nil); x.grace == 0 || !errors.As(err, &e) || e.Stage != StageHandler {
		return
	}
	worker.Terminate()
	_, _ = sys.WaitReadable(time.Now().Add(x.grace), worker.Pidfd())
}

// abort kills the worker and waits for its end, but not after over: a goroutine waits on.
func (x *exchange) abort(over time.Time) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.kill(over)
		x.close()
	}()
	select {
	case <-done:
	case <-time.After(time.Until(over)):
	}
}

// kill ends and reaps all children of the call. If a child has not yet forked the worker, kill waits until it has, and
// has sent the PID: without that, nobody could wait for the worker. It does not take long, since the child opens
// nothing of the target. A child that is frozen or blocked in the kernel does not end by SIGKILL: it is reaped later.
func (x *exchange) kill(over time.Time) {
	if x.turns.Forks && x.worker == nil {
		_, _ = sys.WaitReadable(time.Now().Add(exitTimeout), x.child.Pidfd())
		x.findWorker()
	}
	if x.worker != nil {
		x.worker.Kill()
	}
	x.child.Kill()
	x.lines.cut()
	x.reap(over)
}

// findWorker searches the channel for the record that names the worker.
func (x *exchange) findWorker() {
	buf := make([]byte, wire.MaxMessage)
	for range maxGarbage {
		err := x.receiveNext(buf)
		if x.worker != nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.EAGAIN) {
			return
		}
	}
}

// reap reaps the children of the call, which have ended or do so until over, and returns the worker's status. A child
// that is traced can be reaped only after its tracer has done so: a goroutine waits for that, and the status is 0.
func (x *exchange) reap(over time.Time) (status syscall.WaitStatus) {
	for _, c := range []*sys.Child{x.child, x.worker} {
		if c == nil {
			continue
		}
		var ok bool
		if status, ok = c.Wait(over); !ok {
			c.WaitLater()
		}
	}
	return status
}

// lifelines are two pairs of sockets. The kernel closes the caller's ends when the caller ends, even by SIGKILL. By the
// first pair, which the bootstrap arms, it then kills the worker; by the second one, the worker's process group. It
// sends the signal with the rights of the process that set the owner (F_SETOWN in man 2 fcntl): for the group that is
// the caller, which may kill more processes than the worker may.
type lifelines struct {
	our, their           *sys.FD
	ourGroup, theirGroup *sys.FD
}

func openLifelines() (l *lifelines, err error) {
	l = &lifelines{}
	if l.our, l.their, err = sys.Socketpair(); err == nil {
		l.ourGroup, l.theirGroup, err = sys.Socketpair()
	}
	if err == nil { // or a worker could send descriptors to our ends, see sys.Inbox
		err = errors.Join(sys.StopReceiving(l.our), sys.StopReceiving(l.ourGroup))
	}
	if err != nil {
		l.close()
		return nil, err
	}
	// When this process ends, the kernel closes its descriptors in descending order. It must close ourGroup before
	// theirGroup, or there is no signal to the group if the worker has ended before.
	if l.theirGroup.Int() > l.ourGroup.Int() {
		l.ourGroup, l.theirGroup = l.theirGroup, l.ourGroup
	}
	return l, nil
}

// armGroup has the kernel kill the worker's process group when this process ends. The worker leads the group when it is
// ready. An error means that the worker has ended.
func (l *lifelines) armGroup(worker *sys.Child) { _ = sys.OwnGroup(l.theirGroup, worker.PID) }

// cut closes our ends, which kills the worker and its group.
func (l *lifelines) cut() { closeAll(l.our, l.ourGroup) }

// close kills nothing that a worker has left behind. It may be called again, and on nil.
func (l *lifelines) close() {
	if l == nil {
		return
	}
	_ = sys.OwnGroup(l.theirGroup, 0)
	closeAll(l.our, l.their, l.ourGroup, l.theirGroup)
}

// armOwnGroup is the worker's part of armGroup. It waits until the caller has called that, or has ended: with the
// worker's own rights, the signal would not kill a child that has become another user.
func armOwnGroup(lifeline int) error {
	group := sys.NewFD(workerGroup)
	defer group.Disown()
	for !sys.OwnsItsGroup(group) {
		if ready, err := sys.WaitReadable(time.Now().Add(time.Millisecond/5), lifeline); err != nil || ready[0] {
			return syscall.EPIPE
		}
	}
	return sys.KillGroupAtEnd(group)
}

// watch kills this process when the caller ends, and with group its process group. The lifeline cannot do that if the
// handler has become a user, known only in its user namespace, whom the caller may not kill.
func watch(lifeline int, group bool) {
	if ready, err := sys.WaitReadable(time.Time{}, lifeline); err == nil && ready[0] {
		sys.KillSelf(group)
	}
}

// mayKillAllUsers reports whether this process may kill the processes of all users, and so its lifelines can.
func mayKillAllUsers() bool { return os.Geteuid() == 0 && isInInitialUserNamespace() }

// isInInitialUserNamespace asks once: a process with several threads cannot leave its user namespace.
var isInInitialUserNamespace = sync.OnceValue(func() bool {
	user, err := sys.ThreadNamespaceID(species.CLONE_NEWUSER)
	return err == nil && user.Ino == species.InitialInode(species.CLONE_NEWUSER)
})
