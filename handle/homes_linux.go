package handle

import (
	"fmt"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// homes is the way back, in the order in which it was left.
type homes []home

type home struct {
	fd int
	t  species.NamespaceType
}

// enter takes the steps, having first secured the way back from all of them.
func (h *homes) enter(found []step) error {
	for _, s := range found {
		for t := range species.Set(s.mask).All() {
			fd, err := openHome(t)
			if err != nil {
				h.forget()
				return s.err("leave", err)
			}
			*h = append(*h, home{fd, t})
		}
	}
	for _, s := range found {
		if err := s.join(); err != nil {
			return err // leave goes back also to where the thread never left
		}
	}
	return nil
}

// openHome opens the calling thread's namespace to come back to. Of PID namespaces that is the one for children, and
// there is no way back to one in which no process was started yet.
func openHome(t species.NamespaceType) (int, error) {
	fd, err := sys.OpenCurrent(t)
	if err != nil && t != species.CLONE_NEWPID {
		if own, err := sys.OpenThreadNamespace(t); err == nil {
			return own.Disown(), nil
		}
	}
	return fd, err
}

// leave goes back in reverse. The error is of the first namespace that could not be returned to.
func (h *homes) leave() error {
	var err error
	for i := len(*h) - 1; i >= 0; i-- {
		if back := comeBack((*h)[i].fd, (*h)[i].t); err == nil {
			err = back
		}
	}
	h.forget()
	return err
}

// comeBack returns to a namespace of the thread's own. It takes no rights where the thread is already, although setns(2)
// does: who lacks the rights to leave has not lost the way back.
func comeBack(home int, t species.NamespaceType) error {
	errno := raw.SetnsNoWait(home, t)
	if errno == 0 || isIn(home, t) {
		return nil
	}
	return &Error{Op: "leave", Type: t, Ref: "thread-self", Err: fmt.Errorf("%w: %w", ErrTainted, sys.ExplainJoin(errno, t, home))}
}

// isIn says whether a descriptor is of the namespace that the calling thread is in.
func isIn(fd int, t species.NamespaceType) bool {
	current, err := openHome(t)
	if err != nil {
		return false
	}
	defer raw.CloseNoWait(current)
	return NsHandle(fd).Equal(NsHandle(current))
}

func (h *homes) forget() {
	for i := range *h {
		raw.CloseNoWait((*h)[i].fd)
	}
	*h = nil
}
