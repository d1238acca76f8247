package handle

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// step is one call of setns(2): into a namespace, or into several of one process by its pidfd.
type step struct {
	fd      int
	mask    species.NamespaceType
	closer  FdCloser
	ref     string
	process *Process // for a pidfd
}

// steps opens all references and finds out their types, so that nothing is looked up after the first join. It refuses
// what cannot be joined before anything is.
func steps(refs []Relation) (found []step, err error) {
	defer func() {
		if err != nil {
			closeSteps(found)
			found = nil
		}
	}()
	var seen species.Set
	for _, ref := range refs {
		s, err := newStep(ref)
		if err != nil {
			return found, err
		}
		if seen.Has(s.mask) {
			s.closer()
			return found, s.err("join", fmt.Errorf("a second namespace of that type: %w", syscall.EINVAL))
		}
		seen = seen.With(s.mask)
		if needsReexec.Has(s.mask) {
			s.closer()
			return found, s.err("join", ErrNeedsReexec)
		}
		found = appendStep(found, s)
	}
	return found, nil
}

func newStep(ref Relation) (step, error) {
	if ref == nil {
		return step{}, &Error{Op: "join", Ref: "nil", Err: syscall.EINVAL}
	}
	if p, ok := ref.(ProcessNamespace); ok && p.process != nil {
		return step{fd: p.process.pidfd(), mask: p.t, closer: noCloser, ref: p.String(), process: p.process}, nil
	}
	fd, closer, err := ref.NsFd()
	if err != nil {
		return step{}, asInvalid(ref, err)
	}
	t, err := sys.TypeOf(fd)
	if err != nil {
		closer()
		return step{}, invalid(ref, noNamespace(err))
	}
	return step{fd: fd, mask: t, closer: closer, ref: ref.String()}, nil
}

// appendStep makes one step of several namespaces of one process.
func appendStep(found []step, s step) []step {
	for i := range found {
		if s.process != nil && found[i].process == s.process {
			found[i].mask |= s.mask
			found[i].ref = s.process.String()
			return found
		}
	}
	return append(found, s)
}

func closeSteps(found []step) {
	for i := range found {
		found[i].closer()
	}
}

func (s step) err(op string, cause error) error {
	return &Error{Op: op, Type: s.mask, Ref: s.ref, Err: cause}
}

// join moves the calling thread. The thread shares no file system state with others (CLONE_FS) if a mount namespace is
// among the types.
func (s step) join() error {
	err := sys.Setns(s.fd, int(s.mask))
	if err != nil && s.process != nil {
		err = s.joinAgain(err)
	}
	if err != nil {
		return s.err("join", err)
	}
	return nil
}

// joinAgain does without what may have been in the way: before 5.8, setns(2) knows no pidfds; and whoever has rights
// over some of the process's namespaces only may still join those, if the thread is in the others already.
func (s step) joinAgain(first error) error {
	if !errors.Is(first, syscall.EINVAL) && !errors.Is(first, syscall.EPERM) {
		return ended(s.process.p, first)
	}
	for t := range species.Set(s.mask).All() {
		same, err := s.process.shares(t)
		if err != nil {
			return ended(s.process.p, err)
		}
		if same {
			continue
		}
		if err := s.process.join(t); err != nil {
			return ended(s.process.p, err)
		}
	}
	return nil
}
