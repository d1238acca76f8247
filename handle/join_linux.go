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
	if p, ok := ref.(ProcessNamespace); ok && p.valid() {
		return step{fd: p.process.p.Int(), mask: p.t, closer: noCloser, ref: p.String(), process: p.process}, nil
	}
	fd, t, closer, err := open(ref, species.NaNS)
	if err != nil {
		return step{}, err
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
	var err error
	switch {
	case s.process == nil:
		err = sys.Setns(s.fd, int(s.mask))
	case s.process.p.IsJoinable():
		err = sys.Setns(s.fd, int(s.mask))
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ESRCH) { // perhaps the first thread alone has ended
			err = s.joinDiffering()
		}
	default:
		err = s.joinDiffering()
	}
	if err == nil {
		return nil
	}
	err = sys.ExplainJoin(err, s.mask, s.fd)
	if s.process != nil {
		err = ended(s.process.p, err)
	}
	return s.err("join", err)
}

// joinDiffering joins a process's namespaces one by one (of a thread without a pidfd, or by another thread than the first), without those
// that the thread is in already: who has no rights over these may still join the others. All are opened first, by the way
// of the /proc that is ours.
func (s step) joinDiffering() (err error) {
	var found []*sys.FD
	defer func() {
		for _, fd := range found {
			_ = fd.Close()
		}
	}()
	for t := range species.Set(s.mask).All() {
		same, err := s.process.shares(t)
		if err != nil {
			return err
		}
		if same {
			continue
		}
		fd, err := s.process.p.OpenNamespace(t)
		if err != nil {
			return err
		}
		found = append(found, fd)
	}
	for _, fd := range found {
		if err := sys.Setns(fd.Int(), 0); err != nil {
			return err
		}
	}
	return nil
}
