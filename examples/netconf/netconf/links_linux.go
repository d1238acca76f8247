package netconf

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// group has all links that were made here: the kernel puts a link there when it makes it, so that it can be told from
// others, even after a SIGKILL.
const group = 0x6e736f70

func isOurs(link netlink.Link, kind string) bool {
	return link.Type() == kind && link.Attrs().Group == group
}

func isUp(link netlink.Link) bool { return link.Attrs().Flags&net.FlagUp != 0 }

// find returns nil if there is no such link.
func find(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	return link, err
}

// makeBridge gives the bridge a MAC: else it would take that of one of its ports, and change it as they come and go.
func (p *Plan) makeBridge() error {
	link := netlink.NewLinkAttrs()
	link.Name, link.Group, link.HardwareAddr = p.Bridge.Name, group, net.HardwareAddr{2, 0, 0, 0, 0, 0}
	_, _ = rand.Read(link.HardwareAddr[1:])
	p.bridge = &netlink.Bridge{LinkAttrs: link}
	return p.outside.LinkAdd(p.bridge)
}

// makePair makes both ends with one request: the peer is born in the target, under its name, and never seen elsewhere.
func (p *Plan) makePair() error {
	link := netlink.NewLinkAttrs()
	link.Name, link.Group, link.MTU, link.NumTxQueues, link.NumRxQueues = p.hostEnd, group, p.MTU, 1, 1
	veth := netlink.NewVeth(link)
	veth.PeerName, veth.PeerNamespace = p.Interface, netlink.NsFd(p.Target)
	veth.PeerHardwareAddr, _ = net.ParseMAC(p.MAC) // nil: the kernel draws one
	p.host = veth
	return p.outside.LinkAdd(veth)
}

// findPeer makes sure that it finds the other end: the container may rename links, too.
func (p *Plan) findPeer() (err error) {
	if p.host, err = p.outside.LinkByName(p.hostEnd); err != nil {
		return err
	}
	if p.peer, err = p.inside.LinkByName(p.Interface); err == nil && !p.isPair() {
		err = fmt.Errorf("%s %w", p.Interface, ErrForeign)
	}
	return err
}

// isPair reports whether these are the ends of one pair, and not of two that have the same indexes.
func (p *Plan) isPair() bool {
	host, peer := p.host.Attrs(), p.peer.Attrs()
	return p.peer.Type() == "veth" && peer.ParentIndex == host.Index && host.ParentIndex == peer.Index && peer.NetNsID >= 0
}

// pair says what makePair makes.
func (p *Plan) pair() string {
	return strings.TrimSpace(fmt.Sprintf("create the pair of %s and %s in the target, mtu %d %s", p.hostEnd, p.Interface, p.MTU, p.MAC))
}

// isAsMade reports whether the pair is as makePair would make it.
func (p *Plan) isAsMade() bool {
	host, peer := p.host.Attrs(), p.peer.Attrs()
	return host.MTU == p.MTU && peer.MTU == p.MTU && (p.MAC == "" || p.MAC == peer.HardwareAddr.String())
}

// addAddress adds an address that can be used at once: IPv6 would first ask for a second whether somebody else has it.
func addAddress(h *netlink.Handle, link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	err := h.AddrAdd(link, a)
	if errors.Is(err, unix.EACCES) && p.Addr().Is6() {
		err = fmt.Errorf("IPv6 is disabled for the link (net.ipv6.conf.%s.disable_ipv6): %w", link.Attrs().Name, err)
	}
	return err
}

// setLoDown sets lo down as it was. IPv6 takes its address away, IPv4 leaves the one that it added.
func setLoDown(h *netlink.Handle) error {
	lo := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: 1}}
	if err := h.LinkSetDown(lo); err != nil {
		return err
	}
	err := h.AddrDel(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

// list reads a list until it comes in one piece: what changes meanwhile interrupts it.
func list[T any](read func() ([]T, error)) (all []T, err error) {
	for range 20 {
		if all, err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}
