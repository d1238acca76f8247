package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
)

// all returns the steps that make everything.
func (b *build) all() []step {
	var steps []step
	if b.bridge == nil {
		steps = b.bridgeSteps()
	}
	host, ifname, bridge := b.hostName(b.want.Interface), b.want.Interface, b.want.Bridge.Name
	steps = append(steps,
		step{"create the pair of " + host + " and " + ifname + " in the target", b.addPair, b.removePair},
		step{"tag " + host + " as ours", b.tagHost, nil},
		step{"attach " + host + " to bridge " + bridge, b.attach, nil},
		step{"find " + ifname + " in the target", b.findPeer, nil},
	)
	steps = append(steps, b.sysctlSteps()...)
	if !isUp(b.lo) {
		steps = append(steps, step{"set lo up in the target", b.loUp, b.loDown})
	}
	steps = append(steps, step{"set " + ifname + " up", func() error { return b.inside.LinkSetUp(b.peer) }, nil})
	for _, a := range b.want.addresses {
		steps = append(steps, step{"add address " + a.String() + " to " + ifname, b.addAddress(a), nil})
	}
	for _, a := range b.want.addresses {
		if a.gateway.IsValid() {
			steps = append(steps, step{"add default route to " + a.gateway.String(), b.addDefaultRoute(a), nil})
		}
	}
	return append(append(steps, b.resolvSteps()...), b.recordSteps()...)
}

// bridgeSteps returns those that make the bridge.
func (b *build) bridgeSteps() []step {
	name := b.want.Bridge.Name
	steps := []step{
		{"create bridge " + name, b.addBridge, b.removeBridge},
		{"tag " + name + " as ours", func() error { return b.outside.LinkSetAlias(b.bridge, bridgeTag) }, nil},
	}
	for _, p := range b.want.bridgeAddresses {
		add := func() error { return b.outside.AddrAdd(b.bridge, newAddr(p)) }
		steps = append(steps, step{"add address " + p.String() + " to " + name, add, nil})
	}
	return append(steps, step{"set " + name + " up", func() error { return b.outside.LinkSetUp(b.bridge) }, nil})
}

func (b *build) addBridge() error {
	attrs := netlink.NewLinkAttrs() // a literal would ask for a queue of length 0
	attrs.Name = b.want.Bridge.Name
	attrs.HardwareAddr = newMAC()
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := b.outside.LinkAdd(bridge); err != nil {
		return err
	}
	b.bridge = bridge
	return nil
}

// removeBridge leaves a bridge that somebody uses meanwhile.
func (b *build) removeBridge() error {
	_, err := deleteUnused(b.outside, b.bridge)
	return err
}

// addPair makes both ends in one message: the peer is born in the target, under its name. So there is no moment at
// which it could be seen, renamed or configured on the host's side, and nothing to wait for: a move would take 20 ms.
// The kernel refuses to set the peer up in that message, and ignores an alias.
func (b *build) addPair() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = b.hostName(b.want.Interface)
	attrs.HardwareAddr = b.hostMAC(b.want.Interface)
	attrs.MTU = b.want.MTU // the peer gets the same
	attrs.Flags = net.FlagUp
	// Without these, an end has as many queues as there are CPUs, each with its folders in /sys. Only XDP uses more
	// than one: a veth has no queueing discipline.
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
	veth := netlink.NewVeth(attrs)
	veth.PeerName = b.want.Interface
	veth.PeerHardwareAddr = b.want.mac
	veth.PeerNamespace = netlink.NsFd(b.target)
	if err := b.outside.LinkAdd(veth); err != nil {
		return err
	}
	b.host = veth
	return nil
}

// removePair removes both ends.
func (b *build) removePair() error { return deleteLink(b.outside, b.host) }

func (b *build) tagHost() error {
	tag := b.tag(b.want.Interface)
	if !isUp(b.lo) {
		tag += loWord
	}
	return b.outside.LinkSetAlias(b.host, tag)
}

func (b *build) attach() error { return b.outside.LinkSetMaster(b.host, b.bridge) }

// findPeer looks up the other end, whose index is not known yet.
func (b *build) findPeer() error {
	peer, err := b.inside.LinkByName(b.want.Interface)
	if err != nil {
		return err
	}
	if !b.isPeer(peer) {
		return fmt.Errorf("%s: %w", b.want.Interface, ErrForeign)
	}
	b.peer = peer
	return nil
}

// isPeer makes sure that a link is the other end: the container may rename links, too. An index alone would not tell,
// since each namespace counts for itself. A container that forges all of this has its own link configured.
func (b *build) isPeer(link netlink.Link) bool {
	a := link.Attrs()
	return link.Type() == "veth" && a.ParentIndex == b.host.Attrs().Index && a.NetNsID >= 0
}

func (b *build) loUp() error { return b.inside.LinkSetUp(b.lo) }

func (b *build) loDown() error { return setLoDown(b.inside, b.lo) }

// setLoDown sets lo down as it was. IPv6 takes its address away, IPv4 leaves the one that it added.
func setLoDown(h *netlink.Handle, lo netlink.Link) error {
	if err := h.LinkSetDown(lo); err != nil {
		return err
	}
	err := h.AddrDel(lo, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("127.0.0.1/8"))})
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

func (b *build) addAddress(a address) func() error {
	return func() error { return b.inside.AddrAdd(b.peer, newAddr(a.Prefix)) }
}

func (b *build) addDefaultRoute(a address) func() error {
	return func() error {
		to, via := ipNet(a.defaultRoute()), net.IP(a.gateway.AsSlice())
		return b.inside.RouteAdd(&netlink.Route{LinkIndex: b.peer.Attrs().Index, Dst: to, Gw: via})
	}
}

// newAddr returns an address that can be used at once: IPv6 would first ask for a second if somebody else has it.
func newAddr(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = syscall.IFA_F_NODAD
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func isUp(link netlink.Link) bool { return link.Attrs().Flags&net.FlagUp != 0 }
