package handle

import (
	"runtime"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Visit runs f on the calling goroutine while its thread is in the namespaces referred to, and brings the thread back.
// Everything but what was visited stays as it is for the caller's thread. It allocates nothing for a single [NsHandle]
// of a network namespace, and is faster when one thread makes many visits; a [Thread] is faster still. (A handle above
// 255 takes 8 bytes to become a Relation; keep that, if it matters.)
//
// If the thread cannot be brought back, f was run and the error is ErrTainted: the goroutine is left locked to the
// thread and should end, which ends the thread. Any other error means that f was not run and the thread is back. A
// panic of f, and runtime.Goexit, bring the thread back and go on.
//
// Goroutines that f starts do not follow it. f must not unlock its thread, nor switch it for good. The goroutine is
// moved away from the main thread, unless the caller has locked it there.
//
// The rights are those of [Go]. User and time namespaces are ErrNeedsReexec, mount namespaces ErrNeedsThread.
func Visit(f func(), refs ...Relation) error {
	if len(refs) == 1 {
		if ns, ok := refs[0].(NsHandle); ok {
			if done, err := visitNetwork(f, ns); done {
				return err
			}
		}
	}
	return visit(f, refs)
}

// visitNetwork is Visit for a network namespace. It does nothing if something else is wanted, or special: then done is
// false.
func visitNetwork(f func(), ns NsHandle) (done bool, err error) {
	runtime.LockOSThread()
	tid, main := raw.Thread()
	if main {
		runtime.UnlockOSThread()
		return false, nil
	}
	home, err := sys.OpenCurrentNet(tid)
	if err != nil {
		runtime.UnlockOSThread()
		return false, nil
	}
	if errno := raw.SetnsNoWait(int(ns), species.CLONE_NEWNET); errno != 0 {
		raw.CloseNoWait(home)
		runtime.UnlockOSThread()
		return false, nil
	}
	defer func() {
		err = comeBack(home, species.CLONE_NEWNET)
		raw.CloseNoWait(home)
		if err == nil {
			runtime.UnlockOSThread()
		}
	}()
	f()
	return true, nil
}

// visit is Visit for everything.
func visit(f func(), refs []Relation) (err error) {
	found, err := visitable(refs)
	if err != nil {
		return err
	}
	defer closeSteps(found)
	free := lockOffMain()
	var homes homes
	defer func() {
		if back := homes.leave(); back != nil {
			leaveMain(free)
			err = back
			return
		}
		unlockAfter(free)
	}()
	if err := homes.enter(found); err != nil {
		return err
	}
	f()
	return nil
}

// visitable is steps without what one cannot come back from.
func visitable(refs []Relation) ([]step, error) {
	found, err := steps(refs)
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		if species.Set(s.mask).Has(species.CLONE_NEWNS) {
			closeSteps(found)
			return nil, s.err("visit", ErrNeedsThread)
		}
	}
	return found, nil
}
