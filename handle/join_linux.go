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
	ref     fmt.Stringer
	process *Process // for a pidfd
}

// steps opens all references and checks their types: nothing is looked up after the first join.
func steps(refs []Relation) ([]step, error) { return stepsBut(needsReexec, refs) }

// stepsBut is steps that refuses some types.
func stepsBut(refused species.Set, refs []Relation) (found []step, err error) {
	var seen species.Set
	for _, ref := range refs {
		s, err := newStep(ref)
		if err == nil {
			found = appendStep(found, s)
			if seen.Has(s.mask) {
				err = s.err("join", fmt.Errorf("a second namespace of that type: %w", syscall.EINVAL))
			} else if refused.Has(s.mask) {
				err = s.err("join", ErrNeedsReexec)
			}
		}
		if err != nil {
			closeSteps(found)
			return nil, err
		}
		seen = seen.With(s.mask)
	}
	return found, nil
}

func newStep(ref Relation) (step, error) {
	if ref == nil {
		return step{}, &Error{Op: "join", Ref: "nil", Err: syscall.EINVAL}
	}
	if p, ok := ref.(ProcessNamespace); ok && p.valid() {
		return step{fd: p.process.p.Int(), mask: p.t, closer: noCloser, ref: p, process: p.process}, nil
	}
	fd, t, closer, err := open(ref, species.NaNS)
	return step{fd: fd, mask: t, closer: closer, ref: ref}, err
}

// appendStep makes one step of several namespaces of one process.
func appendStep(found []step, s step) []step {
	for i := range found {
		if s.process != nil && found[i].process == s.process {
			found[i].mask |= s.mask
			found[i].ref = s.process
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
	return &Error{Op: op, Type: s.mask, Ref: s.ref.String(), Err: cause}
}

// join moves the calling thread. To join a mount namespace, it shares no root and working directory with others.
func (s step) join() error {
	err := error(syscall.ESRCH)
	if s.process == nil || s.process.p.IsJoinable() {
		err = sys.Setns(s.fd, int(s.mask))
	}
	// perhaps only the first thread of the process has ended, or it is a thread without a pidfd
	if s.process != nil && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ESRCH)) {
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

// joinDiffering joins a process's namespaces one by one, without those that the calling thread is in: joining the
// others requires no capability over these. All are opened first, by our own /proc.
func (s step) joinDiffering() (err error) {
	var found []*sys.FD
	defer func() {
		for _, fd := range found {
			_ = fd.Close()
		}
	}()
	for t := range species.Set(s.mask).All() {
		theirs, err := s.process.p.NamespaceID(t)
		if err != nil {
			return err
		}
		if ours, err := sys.ThreadNamespaceID(t); err == nil && ours == theirs {
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
