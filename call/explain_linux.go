package call

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// explain adds why the target cannot be inspected.
func (t *target) explain(err error) error {
	if errors.Is(err, ErrSameNamespace) || t.process == nil || t.process.Alive() {
		return sys.ExplainInspect(err)
	}
	return fmt.Errorf("it has ended: %w", syscall.ESRCH)
}

// explainErrno adds what an errno of the bootstrap means where that is not obvious.
func explainErrno(r wire.Record) error {
	var why string
	errno, joinsUser := syscall.Errno(r.Errno), r.Type == uint32(species.CLONE_NEWUSER)
	switch step := r.StepName(); {
	case step == "setns" && errno == syscall.ESRCH:
		why = "the target has ended"
	case step == "fork" && errno == syscall.ENOMEM:
		why = "the first process of that PID namespace has ended"
	case strings.HasPrefix(step, "setres") && joinsUser && errno == syscall.EINVAL:
		why = fmt.Sprintf("the target's user namespace does not map ID %d: set a user that it maps with User", uint32(r.Pid))
	case step == "setgroups" && joinsUser && errno == syscall.EPERM:
		why = "the target's user namespace denies setgroups(2), so the worker would keep the caller's supplementary groups"
	case step == "one thread":
		why = "a library, perhaps a preloaded one, started a thread before the bootstrap ran, and setns(2) moves only one thread"
	case step == "root":
		why = "the target's root directory is not in its mount namespace; NamespaceRoot does not use it"
	case step == "chroot":
		why = "chroot(2) to the target's root directory failed; NamespaceRoot does not use it"
	default:
		return errno
	}
	return fmt.Errorf("%s: %w", why, errno)
}

// explainEnd adds ErrTargetGone to the error of a call that failed because the target ended: the worker could not join
// its PID namespace any more, or was killed with it.
func (t *target) explainEnd(err error) error {
	var e *Error
	if t.process == nil || !errors.As(err, &e) || errors.Is(err, ErrTargetGone) {
		return err
	}
	var exit *ExitError
	killed := errors.As(e.Err, &exit) && exit.Signal == syscall.SIGKILL && t.joins(species.CLONE_NEWPID)
	dead := e.Stage == StageJoin && e.Type == species.CLONE_NEWPID && errors.Is(e.Err, syscall.ENOMEM)
	if !killed && !dead {
		return err
	}
	// The kernel kills all others in the namespace before the first process has ended.
	if ended, waitErr := sys.WaitReadable(time.Now().Add(endOfTarget), t.process.Int()); waitErr == nil && ended[0] {
		e.Err = fmt.Errorf("%w: %w", ErrTargetGone, e.Err)
	}
	return err
}

const endOfTarget = 100 * time.Millisecond

// explainRefusal adds to an EPERM of the bootstrap which right the calling thread, and so the worker, lacks.
func (t *target) explainRefusal(err error) error {
	var e *Error
	if !errors.As(err, &e) || !errors.Is(e.Err, syscall.EPERM) {
		return err
	}
	capability := map[string]string{ // that the step requires in the worker's user namespace
		"setgroups":    "CAP_SETGID",
		"setresgid":    "CAP_SETGID",
		"setresuid":    "CAP_SETUID",
		"bounding set": "CAP_SETPCAP",
		"securebits":   "CAP_SETPCAP",
		"chroot":       "CAP_SYS_CHROOT",
	}[e.Op]
	switch {
	case e.Op != "setns" && e.Stage != StageMounts && capability == "":
	case sys.KeepsCapabilities():
		e.Err = fmt.Errorf("the caller's securebits or bounding set keep its capabilities from the worker: %w", e.Err)
	case e.Op == "setns":
		e.Err = t.explainJoin(e.Type, e.Err)
	case e.Stage == StageMounts:
		e.Err = fmt.Errorf("CAP_SYS_ADMIN is lacking in a user namespace that owns the mount or the network namespace: %w", e.Err)
	default:
		e.Err = fmt.Errorf("%s is lacking: %w", capability, e.Err)
	}
	return err
}

func (t *target) explainJoin(ns species.NamespaceType, err error) error {
	if t.joins(species.CLONE_NEWUSER) {
		return sys.ExplainJoin(err, ns|species.CLONE_NEWUSER, t.descriptorOf(species.CLONE_NEWUSER))
	}
	err = sys.ExplainJoin(err, ns, t.descriptorOf(ns))
	if shared, failed := t.shares(species.CLONE_NEWUSER); failed == nil && !shared {
		return fmt.Errorf("must its user namespace be joined, too? %w", err)
	}
	return err
}

// descriptorOf returns the pidfd, or the namespace of that type if each has its descriptor.
func (t *target) descriptorOf(ns species.NamespaceType) int {
	i := slices.Index(slices.Collect(species.Set(t.types).All()), ns)
	if i >= 0 && i < len(t.files) {
		return t.files[i].Int()
	}
	return t.process.Int()
}
