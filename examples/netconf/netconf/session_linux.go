package netconf

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/species"
)

// Place is the target. The host's side is the network namespace of the thread that opens a session.
type Place struct {
	Target  handle.NsHandle // network namespace that gets the interface; unlike a path or a PID, it cannot become another
	PID     int             // a process in Target; only DNS needs it
	Sandbox string          // the path of Target, for results and errors
}

// Session has a netlink socket on the host's side and one in the target.
type Session struct {
	Place
	outside, inside *netlink.Handle
	hostEnd         string   // the name of the host end: nc, and the number that lsns(8) shows for the target
	deleted         []string // links
}

// group is that of all links that are made here, from the request that makes them on: so they are known after a SIGKILL.
const group = 0x6e736f70

// Open opens a session, which the caller closes. It requires CAP_SYS_ADMIN and CAP_NET_ADMIN over both namespaces.
func Open(p Place) (*Session, error) {
	host, err1 := handle.NamespacePath("/proc/thread-self/ns/net").ID()
	target, err2 := p.Target.ID()
	t, err3 := p.Target.Type()
	err := errors.Join(err1, err2, err3)
	if err != nil || t != species.CLONE_NEWNET || host == target {
		return nil, cmp.Or(err, fmt.Errorf("%s is no network namespace, or is our own", p.Sandbox))
	}
	s := &Session{Place: p, hostEnd: fmt.Sprintf("nc%d", target.Ino)}
	if s.outside, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, err
	}
	err = s.inTarget(func() (err error) { // a socket belongs to the namespace of the thread that opens it
		s.inside, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		s.outside.Close()
		return nil, err
	}
	return s, nil
}

// Close closes the sockets. What was made stays.
func (s *Session) Close() {
	s.outside.Close()
	s.inside.Close()
}

// inTarget runs f on a thread of its own in the target's network namespace. The error is that of getting there, or of f.
func (s *Session) inTarget(f func() error) error {
	failed, err := handle.Execute(f, s.Target)
	return cmp.Or(err, failed)
}

// Show returns links, addresses and routes of the target.
func (s *Session) Show() (*Result, error) {
	links, err1 := s.inside.LinkList()
	addresses, err2 := s.inside.AddrList(nil, netlink.FAMILY_ALL)
	routes, err3 := s.inside.RouteList(nil, netlink.FAMILY_ALL)
	r := &Result{CNIVersion: "1.1.0"}
	for _, link := range links {
		l := link.Attrs()
		r.Interfaces = append(r.Interfaces, Interface{l.Name, l.HardwareAddr.String(), l.MTU, s.Sandbox, l.Flags.String()})
	}
	for _, a := range addresses {
		i := slices.IndexFunc(links, func(link netlink.Link) bool { return link.Attrs().Index == a.LinkIndex })
		address, _ := netip.ParsePrefix(a.IPNet.String())
		r.IPs = append(r.IPs, IP{i, Address{Address: address}})
	}
	for _, route := range routes {
		dst, _ := netip.ParsePrefix(route.Dst.String())
		gateway, _ := netip.AddrFromSlice(route.Gw)
		r.Routes = append(r.Routes, Route{dst, gateway.Unmap()})
	}
	return r, errors.Join(err1, err2, err3)
}

// Delete takes away what was made for the target, also by a program that was killed: the pair; bridges that were made here
// and have no ports; and resolv.conf, if there is a PID. Sysctls stay. It returns the names of the links.
func (s *Session) Delete() ([]string, error) {
	s.deleted = []string{}
	err := errors.Join(s.deleteLinks("veth", s.hostEnd), s.deleteLinks("bridge", "*"))
	if s.PID != 0 {
		_, failed := s.resolvConf("restore", "")
		err = errors.Join(err, failed)
	}
	return s.deleted, err
}

// deleteLinks deletes links that were made here, of a kind and with names of a pattern, but no bridge that has ports. The
// kernel has no request for that: a bridge that gets its first port between the list and the deletion goes, too.
func (s *Session) deleteLinks(kind, pattern string) error {
	links, err := s.outside.LinkList()
	for errors.Is(err, netlink.ErrDumpInterrupted) { // by another change
		links, err = s.outside.LinkList()
	}
	for _, link := range links {
		isPort := func(other netlink.Link) bool { return other.Attrs().MasterIndex == link.Attrs().Index }
		isNamed, _ := path.Match(pattern, link.Attrs().Name)
		if !isNamed || !isOurs(link, kind) || slices.ContainsFunc(links, isPort) {
			continue
		}
		if failed := s.outside.LinkDel(link); failed != nil && !errors.Is(failed, unix.ENODEV) { // it goes with its peer
			err = errors.Join(err, fmt.Errorf("delete %s: %w", link.Attrs().Name, failed))
		}
		s.deleted = append(s.deleted, link.Attrs().Name)
	}
	return err
}

func isOurs(link netlink.Link, kind string) bool {
	return link.Type() == kind && link.Attrs().Group == group
}
