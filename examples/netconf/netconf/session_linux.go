package netconf

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"github.com/nsops/nsops/handle"
)

// session is one operation on one target. The namespace is looked up once, here; from then on there is only the handle,
// so that a PID or path that is used again cannot lead anywhere else.
type session struct {
	Place
	ctx     context.Context
	target  handle.NsHandle
	id      identity // of the target
	hostID  identity
	outside *socket // in Place.Host
	inside  *socket // in the target
	locks   int     // descriptor of the file of locks, -1 until it is needed
}

// open finds the target, refuses our own namespace, and opens a socket in either. The caller closes the session.
func (p Place) open(ctx context.Context) (s *session, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s = &session{Place: p, ctx: ctx, target: handle.None(), locks: -1}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.target, err = p.Target.open(); err != nil {
		return s, err
	}
	own, err := handle.Get()
	if err != nil {
		return s, err
	}
	defer func() { _ = own.Close() }()
	return s, s.openSockets(own)
}

func (s *session) openSockets(own handle.NsHandle) error {
	ownID, err := s.identify(own)
	if err != nil {
		return err
	}
	home := own
	if s.hostID == ownID {
		home = handle.None()
	}
	if s.outside, err = openSocket(s.Host, home); err != nil {
		return fmt.Errorf("socket in the host's namespace: %w", err)
	}
	if s.inside, err = openSocket(s.target, own); err != nil {
		return fmt.Errorf("socket in the target's namespace: %w", err)
	}
	return nil
}

func (s *session) close() {
	s.outside.close()
	s.inside.close()
	if s.target.IsOpen() {
		_ = s.target.Close()
	}
	s.closeLocks()
}

func (t Target) open() (handle.NsHandle, error) {
	switch {
	case t.PID != 0 && t.Path == "" && t.Name == "":
		return handle.GetFromPid(t.PID)
	case t.PID == 0 && t.Path != "" && t.Name == "":
		return handle.GetFromPath(t.Path)
	case t.PID == 0 && t.Path == "" && t.Name != "":
		return handle.GetFromName(t.Name)
	}
	return handle.None(), errors.New("a target is given by exactly one of PID, path and name")
}

// identify finds out who target and host are, compares them and the calling thread's own namespace, and returns who
// that is.
func (s *session) identify(own handle.NsHandle) (ownID identity, err error) {
	if s.id, err = identify(s.target); err != nil {
		return ownID, fmt.Errorf("identity of the target: %w", err)
	}
	if s.hostID, err = identify(s.Host); err != nil {
		return ownID, fmt.Errorf("identity of the host's namespace: %w", err)
	}
	ownID, err = identify(own)
	if err == nil && (s.id == s.hostID || s.id == ownID) {
		err = ErrOwnNamespace
	}
	return ownID, err
}

// identity is what tells a namespace from all others that exist now.
type identity struct{ dev, ino uint64 }

func identify(ns handle.NsHandle) (identity, error) {
	var st syscall.Stat_t
	err := syscall.Fstat(int(ns), &st)
	return identity{st.Dev, st.Ino}, err
}

// String returns device and inode number, as handles print them.
func (id identity) String() string { return fmt.Sprintf("%d:%d", id.dev, id.ino) }
