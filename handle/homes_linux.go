package handle

import (
	"fmt"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// openHome opens the calling thread's namespace to come back to. Of PID namespaces that is the one for children, and
// there is no way back to one in which no process was started yet.
func openHome(t species.NamespaceType, tid int) (fd int, err error) {
	if t == species.CLONE_NEWNET {
		fd, err = sys.OpenCurrentNet(tid)
	} else {
		fd, err = sys.OpenCurrent(t)
	}
	if err != nil && t != species.CLONE_NEWPID {
		if own, err := sys.OpenThreadNamespace(t); err == nil {
			return own.Disown(), nil
		}
	}
	return fd, err
}

// comeBack returns to a namespace of the thread's own. setns(2) requires capabilities even where the thread is already;
// a thread that lacked them to leave is still at home.
func comeBack(home int, t species.NamespaceType) error {
	errno := raw.SetnsNoWait(home, t)
	if errno == 0 || isIn(home, t) {
		return nil
	}
	return &Error{Op: "leave", Type: t, Ref: "thread-self", Err: fmt.Errorf("%w: %w", ErrTainted, sys.ExplainJoin(errno, t, home))}
}

// isIn reports whether a descriptor is of the namespace that the calling thread is in.
func isIn(fd int, t species.NamespaceType) bool {
	current, err := openHome(t, raw.OwnTID())
	if err != nil {
		return false
	}
	defer raw.CloseNoWait(current)
	return NsHandle(fd).Equal(NsHandle(current))
}
