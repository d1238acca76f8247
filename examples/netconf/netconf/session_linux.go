package netconf

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

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
	outside *netlink.Handle // a socket in Place.Host
	inside  *netlink.Handle // a socket in the target
}

// open finds the target, refuses our own namespace, and opens a socket in either. The caller closes the session.
func (p Place) open(ctx context.Context) (s *session, err error) {
	s = &session{Place: p, ctx: ctx, target: handle.None()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.target, err = p.Target.open(); err != nil {
		return s, err
	}
	ownID, err := s.identify()
	if err != nil {
		return s, err
	}
	if s.outside, err = openSocket(p.Host, s.hostID == ownID); err != nil {
		return s, fmt.Errorf("socket in the host's namespace: %w", err)
	}
	if s.inside, err = openSocket(s.target, false); err != nil {
		return s, fmt.Errorf("socket in the target's namespace: %w", err)
	}
	return s, nil
}

func (s *session) close() {
	if s.outside != nil {
		s.outside.Close()
	}
	if s.inside != nil {
		s.inside.Close()
	}
	if s.target.IsOpen() {
		_ = s.target.Close()
	}
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

// identify reads who target and host are, compares them and the calling thread's namespace, and returns that.
func (s *session) identify() (own identity, err error) {
	if s.id, err = identify(s.target); err != nil {
		return own, fmt.Errorf("identity of the target: %w", err)
	}
	if s.hostID, err = identify(s.Host); err != nil {
		return own, fmt.Errorf("identity of the host's namespace: %w", err)
	}
	h, err := handle.Get()
	if err != nil {
		return own, err
	}
	defer func() { _ = h.Close() }()
	own, err = identify(h)
	if err == nil && (s.id == s.hostID || s.id == own) {
		err = ErrOwnNamespace
	}
	return own, err
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

// socketTimeout is how long the kernel may take for one request; without it, a lost answer is waited for without end.
const socketTimeout = 10 * time.Second

// openSocket opens a netlink socket in a namespace, of one family: unless told, netlink opens all twenty. Where we are
// already, no thread has to go there and back.
func openSocket(ns handle.NsHandle, here bool) (*netlink.Handle, error) {
	if here {
		ns = handle.None()
	}
	h, err := netlink.NewHandleAt(netns.NsHandle(ns), syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return h, h.SetSocketTimeout(socketTimeout)
}
