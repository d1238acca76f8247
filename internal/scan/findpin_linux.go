package scan

import (
	"syscall"
	"time"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// OpenPin opens the namespace with that ID, which is mounted at a path in the mount namespace behind a descriptor. Anything
// else that is there is not opened: ESTALE.
func OpenPin(in int, path string, id species.NamespaceID) (*sys.FD, error) {
	return reopen(findPinInside(in, path, id))
}

// findPinInside finds a pin from a thread that joins the mount namespace and ends. closeFound closes what it returns.
func findPinInside(in int, path string, id species.NamespaceID) (*sys.FD, error) {
	return inside(in, func() (*sys.FD, error) {
		root, err := sys.OpenRootHere()
		if err != nil {
			return nil, err
		}
		return findPin(root, path, id)
	})
}

// findPin finds a pin below a root, which it closes; closeFound closes what it returns. Anything else than the namespace that
// is meant is not opened.
func findPin(root *sys.FD, path string, id species.NamespaceID) (*sys.FD, error) {
	defer func() { _ = root.Close() }()
	found, err := sys.Resolve(root, path, true)
	if err != nil {
		return nil, err
	}
	ours.add(found.Int())
	is, err := sys.IDOf(found.Int())
	if err == nil && is != id {
		err = syscall.ESTALE // mounted over
	}
	if err != nil {
		closeFound(found)
		return nil, err
	}
	return found, nil
}

// closeFound closes what findPin has found.
func closeFound(found *sys.FD) {
	ours.drop(found.Disown())
}

// reopen opens what was found, through our own /proc: there may be none where it was found.
func reopen(found *sys.FD, err error) (*sys.FD, error) {
	if err != nil {
		return nil, err
	}
	defer closeFound(found)
	return sys.Reopen(found)
}

// inside runs f on a thread that joins the mount namespace behind fd, and waits for the end of that thread: a discovery
// that follows would find it there.
func inside[T any](fd int, f func() (T, error)) (T, error) {
	type outcome struct {
		result T
		err    error
		tid    int
	}
	o, err := handle.Execute(func() outcome {
		result, err := f()
		return outcome{result, err, raw.OwnTID()}
	}, handle.NamespaceFd(fd))
	if err != nil {
		return o.result, err
	}
	sys.AwaitThreadEnd(o.tid)
	return o.result, o.err
}

// Within waits for f, but not longer: ETIMEDOUT, or EINTR if it is to stop. What f returns too late is dropped.
func Within[T any](patience time.Duration, stop <-chan struct{}, f func() (T, error), drop func(T)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	var none T
	done, gone := make(chan outcome), make(chan struct{})
	go func() {
		result, err := f()
		select {
		case done <- outcome{result, err}:
		case <-gone:
			if err == nil {
				drop(result)
			}
		}
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	defer close(gone)
	select {
	case o := <-done:
		return o.result, o.err
	case <-limit.C:
		return none, syscall.ETIMEDOUT
	case <-stop:
		return none, syscall.EINTR
	}
}

// makePoller has the runtime open what it waits with. It does so with the first timer, and ends the program if a discovery
// has used up the descriptors by then.
func makePoller() { time.AfterFunc(time.Hour, func() {}).Stop() }
