package netconf

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/species"
)

// Place says where a configuration goes to. The caller closes the handles; unlike a path or a PID, they cannot lead
// elsewhere meanwhile.
type Place struct {
	Host    handle.NsHandle // network namespace of the bridge and the host end
	Target  handle.NsHandle // network namespace that gets the interface, another one
	PID     int             // a process in Target; only DNS needs it
	Sandbox string          // the path of Target, for results and errors
	Lock    string          // a file where only root may write; "": DefaultLock
}

// DefaultLock is what all programs lock that use this package.
const DefaultLock = "/run/nsops-netconf.lock"

// Session is the right to change something: one program at a time has it.
type Session struct {
	Place
	ctx             context.Context
	outside, inside *netlink.Handle // sockets in Host and in Target
	lock            *os.File
	prefix          string // what the names of the target's host ends begin with
}

// Open waits until nobody else has a session, or the context ends, which is also that of what is done in the session.
// The caller closes the session. Open requires CAP_SYS_ADMIN and CAP_NET_ADMIN over both namespaces.
func Open(ctx context.Context, p Place) (s *Session, err error) {
	s = &Session{Place: p, ctx: ctx, prefix: "nc" + hash(p.Host.UniqueId() + p.Target.UniqueId())[:10]}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if p.Target.Equal(p.Host) {
		return s, fmt.Errorf("%s is our own network namespace: name another target", p.Sandbox)
	}
	if s.outside, err = openSocket(p.Host); err != nil {
		return s, err
	}
	if s.inside, err = openSocket(p.Target); err != nil {
		return s, err
	}
	s.lock, err = os.OpenFile(cmp.Or(p.Lock, DefaultLock), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	for ; err == nil; time.Sleep(time.Millisecond) {
		if err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			return s, err
		}
		if err = context.Cause(ctx); err != nil {
			err = fmt.Errorf("lock %s: somebody else has it: %w", s.lock.Name(), err)
		}
	}
	return s, err
}

// openSocket opens a netlink socket on a thread in the namespace, to which the socket belongs from then on.
func openSocket(ns handle.NsHandle) (h *netlink.Handle, err error) {
	if t, err := ns.Type(); err != nil || t != species.CLONE_NEWNET {
		return nil, cmp.Or(err, fmt.Errorf("%s is no network namespace", ns))
	}
	err = onThread(ns, func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}

// onThread runs f on a thread of its own in a network namespace. The error is that of getting there, or of f.
func onThread(ns handle.NsHandle, f func() error) error {
	failed, err := handle.Execute(f, ns)
	return cmp.Or(err, failed)
}

// Close gives the session up. What was made stays.
func (s *Session) Close() {
	for _, h := range []*netlink.Handle{s.outside, s.inside} {
		if h != nil {
			h.Close()
		}
	}
	_ = s.lock.Close() // also if it is nil
}

func hash(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
