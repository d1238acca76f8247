package handle

import (
	"errors"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// Thread is the calling goroutine's thread, with the way back to its namespaces kept open: for many visits from one
// goroutine, each about as cheap as the two calls of setns(2) that it consists of. It is for that goroutine only.
type Thread struct {
	homes    homes
	free     chan struct{}
	visiting bool
	ended    bool
}

// LockThread locks the calling goroutine to its thread, as runtime.LockOSThread does; Unlock ends that. The goroutine
// is moved away from the main thread first, unless the caller has locked it there. Until Unlock, nothing but Visit may
// switch the thread, as that returns to the namespaces in which the thread was the first time.
func LockThread() *Thread { return &Thread{free: lockOffMain()} }

// Visit is the function [Visit], but keeps a descriptor of the thread's own namespace of each type that was visited,
// until Unlock. After ErrTainted the thread is done for.
func (th *Thread) Visit(f func(), refs ...Relation) error {
	switch {
	case th.ended:
		return &Error{Op: "visit", Ref: "thread", Err: ErrClosed}
	case th.visiting:
		return th.visitFurther(f, refs)
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

// visitFurther is for a visit during another, which has to come back to that.
func (th *Thread) visitFurther(f func(), refs []Relation) error {
	err := visit(f, refs)
	if errors.Is(err, ErrTainted) {
		return th.taint(err)
	}
	return err
}

func (th *Thread) visitNetwork(f func(), ns NsHandle) (done bool, err error) {
	home, ok := th.home(species.CLONE_NEWNET)
	if !ok || raw.SetnsNoWait(int(ns), species.CLONE_NEWNET) != 0 {
		return false, nil
	}
	th.visiting = true
	defer func() {
		th.visiting = false
		if err = comeBack(home, species.CLONE_NEWNET); err != nil {
			_ = th.taint(err)
		}
	}()
	f()
	return true, nil
}

func (th *Thread) visit(f func(), refs []Relation) (err error) {
	found, err := visitable(refs)
	if err != nil {
		return err
	}
	defer closeSteps(found)
	var joined species.Set
	th.visiting = true
	defer func() {
		th.visiting = false
		if back := th.back(joined); back != nil {
			err = th.taint(back)
		}
	}()
	for _, s := range found {
		for t := range species.Set(s.mask).All() {
			if _, ok := th.home(t); !ok {
				return s.err("leave", syscall.ENOENT)
			}
		}
		joined = joined.With(s.mask)
		if err := s.join(); err != nil {
			return err
		}
	}
	f()
	return nil
}

// home returns the descriptor of the thread's own namespace of type t.
func (th *Thread) home(t species.NamespaceType) (int, bool) {
	for i := range th.homes {
		if th.homes[i].t == t {
			return th.homes[i].fd, true
		}
	}
	fd, err := openHome(t)
	if err != nil {
		return -1, false
	}
	th.homes = append(th.homes, home{fd, t})
	return fd, true
}

// back returns to the thread's own namespaces of these types.
func (th *Thread) back(types species.Set) error {
	for i := len(th.homes) - 1; i >= 0; i-- {
		if h := th.homes[i]; types.Has(h.t) {
			if err := comeBack(h.fd, h.t); err != nil {
				return err
			}
		}
	}
	return nil
}

// taint has Unlock leave the goroutine locked.
func (th *Thread) taint(err error) error {
	th.homes.forget()
	th.ended = true
	leaveMain(th.free)
	return err
}

// Unlock closes what was kept and unlocks the goroutine from its thread; again, or after ErrTainted, it does nothing.
func (th *Thread) Unlock() {
	if th.ended {
		return
	}
	th.ended = true
	th.homes.forget()
	unlockAfter(th.free)
}
