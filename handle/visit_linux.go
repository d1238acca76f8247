package handle

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Visit runs f on the calling goroutine while its thread is in the namespaces referred to, and brings the thread back.
// All other namespaces stay those of the caller's thread. For a single [NsHandle] of a network namespace it allocates
// nothing, and is faster when one thread makes many visits; a [Thread] is faster still. (To make a Relation of a handle
// above 255 takes 8 bytes; keep that, if it matters.)
//
// If the thread cannot be brought back, f was run and the error is ErrTainted: the goroutine is left locked to the
// thread and should end, which ends the thread. Any other error means that f was not run and the thread is back. After
// a panic of f, or runtime.Goexit, the thread is brought back too.
//
// Goroutines that f starts do not follow it. f must not unlock its thread, nor switch it for good. The goroutine is
// moved away from the main thread, unless the caller has locked it there.
//
// It requires the capabilities of [Go]. User and time namespaces are ErrNeedsReexec, mount namespaces ErrNeedsThread.
func Visit(f func(), refs ...Relation) error {
	th := LockThread()
	defer th.Unlock()
	return th.Visit(f, refs...)
}

// Thread is the calling goroutine's thread, with the way back to its namespaces kept open: for many visits from one
// goroutine, each about as cheap as its two calls of setns(2). It is for that goroutine only.
type Thread struct {
	tid      int
	free     chan struct{} // see lockOffMain
	homes    [5]home       // of the thread's own namespaces, one for each type that can be visited
	opened   int
	visiting bool
	ended    bool
}

type home struct {
	fd int
	t  species.NamespaceType
}

// LockThread locks the calling goroutine to its thread, as runtime.LockOSThread does; Unlock ends that. The goroutine
// is moved away from the main thread first, unless the caller has locked it there. Until Unlock, nothing but Visit may
// switch the thread, as that returns to the namespaces in which the thread was the first time.
func LockThread() *Thread {
	tid, free := lockOffMain()
	return &Thread{tid: tid, free: free}
}

// Visit is the function [Visit], but keeps a descriptor of the thread's own namespace of each type that was visited,
// until Unlock. After ErrTainted the Thread is of no more use.
func (th *Thread) Visit(f func(), refs ...Relation) error {
	switch {
	case th.ended:
		return &Error{Op: "visit", Ref: "thread", Err: ErrClosed}
	case th.visiting: // a visit during another one comes back to where that is
		err := Visit(f, refs...)
		if errors.Is(err, ErrTainted) {
			th.end()
		}
		return err
	}
	if len(refs) == 1 {
		if ns, ok := refs[0].(NsHandle); ok {
			if done, err := th.visitNetwork(f, ns); done {
				return err
			}
		}
	}
	return th.visit(f, refs)
}

// visitNetwork is visit for a network namespace, without allocations. done is false if it is something else, or fails.
func (th *Thread) visitNetwork(f func(), ns NsHandle) (done bool, err error) {
	if err := th.keepHome(species.CLONE_NEWNET); err != nil || raw.SetnsNoWait(int(ns), species.CLONE_NEWNET) != 0 {
		return false, nil
	}
	joined := species.Set(species.CLONE_NEWNET)
	th.visiting = true
	defer th.leave(&joined, &err)
	f()
	return true, nil
}

func (th *Thread) visit(f func(), refs []Relation) (err error) {
	found, err := steps(refs)
	if err != nil {
		return err
	}
	defer closeSteps(found)
	if err := th.openHomes(found); err != nil {
		return err
	}
	var joined species.Set
	th.visiting = true
	defer th.leave(&joined, &err)
	for _, s := range found {
		joined = joined.With(s.mask)
		if err := s.join(); err != nil {
			return err
		}
	}
	f()
	return nil
}

// openHomes opens the way back from all of the steps. There is none from a mount namespace.
func (th *Thread) openHomes(found []step) error {
	for _, s := range found {
		if species.Set(s.mask).Has(species.CLONE_NEWNS) {
			return s.err("visit", ErrNeedsThread)
		}
		for t := range species.Set(s.mask).All() {
			if err := th.keepHome(t); err != nil {
				return s.err("leave", err)
			}
		}
	}
	return nil
}

// keepHome opens the thread's own namespace of type t, unless it is open.
func (th *Thread) keepHome(t species.NamespaceType) error {
	for _, h := range th.homes[:th.opened] {
		if h.t == t {
			return nil
		}
	}
	fd, err := openHome(t, th.tid)
	if err == nil {
		th.homes[th.opened] = home{fd, t}
		th.opened++
	}
	return err
}

// leave ends a visit to namespaces of these types. The error is of the first one that cannot be left.
func (th *Thread) leave(types *species.Set, err *error) {
	th.visiting = false
	if th.ended { // a visit during this one could not be left
		*err = &Error{Op: "leave", Ref: "thread-self", Err: ErrTainted}
		return
	}
	var tainted error
	for _, h := range slices.Backward(th.homes[:th.opened]) {
		if types.Has(h.t) {
			tainted = cmp.Or(tainted, comeBack(h.fd, h.t))
		}
	}
	if tainted != nil {
		th.end()
		*err = tainted
	}
}

// Unlock closes what was kept and unlocks the goroutine from its thread; again, or after ErrTainted, it does nothing.
func (th *Thread) Unlock() {
	if !th.ended {
		th.end()
		runtime.UnlockOSThread()
	}
}

// end closes what was kept. The goroutine stays locked; Unlock does nothing any more.
func (th *Thread) end() {
	th.ended = true
	for _, h := range th.homes[:th.opened] {
		raw.CloseNoWait(h.fd)
	}
	if th.free != nil {
		close(th.free)
	}
}

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

// comeBack returns to a namespace of the thread's own. setns(2) requires capabilities even of a
// thread that is there already; one that lacks them could not have left.
func comeBack(home int, t species.NamespaceType) error {
	errno := raw.SetnsNoWait(home, t)
	if errno == 0 {
		return nil
	}
	if current, err := openHome(t, raw.OwnTID()); err == nil {
		defer raw.CloseNoWait(current)
		if NsHandle(home).Equal(NsHandle(current)) {
			return nil
		}
	}
	err := fmt.Errorf("%w: %w", ErrTainted, sys.ExplainJoin(errno, t, home))
	return &Error{Op: "leave", Type: t, Ref: "thread-self", Err: err}
}

// lockOffMain moves the calling goroutine away from the main thread, unless it was locked there, locks it to its thread
// and returns the TID. The main thread is occupied until free is closed; free is nil if it is not.
func lockOffMain() (tid int, free chan struct{}) {
	const attempts = 100
	runtime.LockOSThread()
	for range attempts {
		if tid = raw.OwnTID(); tid != raw.OwnPID() {
			return tid, free
		}
		runtime.UnlockOSThread()
		free = occupyMain()
		runtime.LockOSThread()
	}
	return raw.OwnTID(), free
}

// occupyMain starts a goroutine, which is the next one to run on the thread that the caller leaves by waiting for it.
// If that is the main thread, it stays there until free is closed. Otherwise free is nil.
func occupyMain() (free chan struct{}) {
	occupied, release := make(chan bool), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		main := sys.OnMainThread()
		occupied <- main
		if main {
			<-release
		}
	}()
	if <-occupied {
		return release
	}
	return nil
}
