package call

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// explain adds why the target cannot be inspected.
func (t *target) explain(err error) error {
	if errors.Is(err, ErrSameNamespace) || t.process.Alive() {
		return sys.ExplainInspect(err)
	}
	return fmt.Errorf("it has ended: %w", syscall.ESRCH)
}

// capabilityFor returns the capability that a step of the bootstrap requires in the worker's user namespace.
func capabilityFor(step string) string {
	switch step {
	case "setgroups", "setresgid":
		return "CAP_SETGID"
	case "setresuid":
		return "CAP_SETUID"
	case "bounding set", "securebits":
		return "CAP_SETPCAP"
	case "chroot":
		return "CAP_SYS_CHROOT"
	}
	return ""
}

// explainRefusal adds to an EPERM of the bootstrap which right is lacking. The worker starts with the rights of the
// calling thread.
func (t *target) explainRefusal(err error) error {
	var e *Error
	if !errors.As(err, &e) || !errors.Is(e.Err, syscall.EPERM) {
		return err
	}
	switch {
	case e.Op == "setns" || capabilityFor(e.Op) != "" || e.Stage == StageMounts:
	default:
		return err
	}
	switch {
	case sys.KeepsCapabilities():
		e.Err = fmt.Errorf("the caller's securebits or bounding set keep its capabilities from the worker: %w", e.Err)
	case e.Op == "setns":
		e.Err = t.explainJoin(e.Type, e.Err)
	case e.Stage == StageMounts:
		e.Err = fmt.Errorf("CAP_SYS_ADMIN is lacking in a user namespace that owns the mount or the network namespace: %w", e.Err)
	default:
		e.Err = fmt.Errorf("%s is lacking: %w", capabilityFor(e.Op), e.Err)
	}
	return err
}

func (t *target) explainJoin(ns species.NamespaceType, err error) error {
	if t.joins(species.CLONE_NEWUSER) {
		return sys.ExplainJoin(err, ns|species.CLONE_NEWUSER, t.descriptorOf(species.CLONE_NEWUSER))
	}
	err = sys.ExplainJoin(err, ns, t.descriptorOf(ns))
	if t.isInOtherUserNamespace() {
		return fmt.Errorf("must its user namespace be joined, too? %w", err)
	}
	return err
}

// descriptorOf returns the pidfd, or the namespace of that type if each has its descriptor.
func (t *target) descriptorOf(ns species.NamespaceType) int {
	i := 0
	for joined := range species.Set(t.types).All() {
		if joined == ns && i < len(t.files) {
			return t.files[i].Int()
		}
		i++
	}
	return t.process.Int()
}

func (t *target) isInOtherUserNamespace() bool {
	ours, err := sys.ThreadNamespaceID(species.CLONE_NEWUSER)
	if err != nil {
		return false
	}
	theirs, err := t.process.NamespaceID(species.CLONE_NEWUSER)
	return err == nil && theirs != ours
}
