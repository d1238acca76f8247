package netconf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// all returns the steps that make everything.
func (b *build) all() []step {
	var steps []step
	if b.bridge == nil {
		steps = b.bridgeSteps()
	}
	host, ifname, bridge := b.hostName(b.want.Interface), b.want.Interface, b.want.Bridge.Name
	steps = append(steps,
		step{what: "create the pair of " + host + ", attached to bridge " + bridge + ", and " + ifname + " in the target",
			do: b.addPair, undo: b.removePair},
		step{what: "find " + ifname + " in the target", do: b.findPeer},
	)
	steps = append(steps, b.sysctlSteps()...)
	if !isUp(b.lo) {
		up := b.inside.step("set lo up in the target", func() *nl.NetlinkRequest { return setUp(loIndex) })
		up.undo = b.loDown
		steps = append(steps, up)
	}
	steps = append(steps, b.inside.step("set "+ifname+" up", func() *nl.NetlinkRequest { return setUp(indexOf(b.peer)) }))
	for _, a := range b.want.addresses {
		steps = append(steps, b.inside.addressStep(ifname, a.Prefix, func() int { return indexOf(b.peer) }))
	}
	for _, a := range b.want.addresses {
		if a.gateway.IsValid() {
			add := func() *nl.NetlinkRequest { return addDefaultRoute(indexOf(b.peer), a.gateway) }
			steps = append(steps, b.inside.step("add default route to "+a.gateway.String(), add))
		}
	}
	return append(append(steps, b.resolvSteps()...), b.recordSteps()...)
}

// bridgeSteps returns those that make the bridge.
func (b *build) bridgeSteps() []step {
	name := b.want.Bridge.Name
	steps := []step{
		{what: "create bridge " + name, do: b.addBridge, undo: b.removeBridge},
		b.outside.step("tag "+name+" as ours", func() *nl.NetlinkRequest { return tagBridge(indexOf(b.bridge)) }),
	}
	for _, p := range b.want.bridgeAddresses {
		steps = append(steps, b.outside.addressStep(name, p, func() int { return indexOf(b.bridge) }))
	}
	return append(steps, b.outside.step("set "+name+" up", func() *nl.NetlinkRequest { return setUp(indexOf(b.bridge)) }))
}

func (b *build) addBridge() (err error) {
	name, mac := b.want.Bridge.Name, newMAC()
	b.bridge, err = create(b.outside, name, mac, newBridge(name, mac))
	return err
}

// create has a link made by the first request, and looks it up in the same message: from then on it goes by its index. If
// anything fails, or has no answer, the link that was made is deleted; it is known by its MAC.
func create(s *socket, name string, mac net.HardwareAddr, requests ...*nl.NetlinkRequest) (netlink.Link, error) {
	answers := s.send(append(requests, getLink(name))...)
	var err error
	for _, a := range answers {
		err = cmp.Or(err, a.err)
	}
	if err == nil {
		return answers[len(requests)].link, nil
	}
	if made := answers[0].err; made == nil || errors.Is(made, errUnanswered) {
		err = errors.Join(err, deleteMade(s, name, mac))
	}
	return nil, err
}

func deleteMade(s *socket, name string, mac net.HardwareAddr) error {
	link, err := s.send(getLink(name))[0].found(name)
	if err != nil || link == nil || !bytes.Equal(link.Attrs().HardwareAddr, mac) {
		return err
	}
	return deleteLink(s, link)
}

// removeBridge leaves a bridge that somebody uses meanwhile.
func (b *build) removeBridge() error {
	_, err := deleteUnused(b.outside, b.bridge)
	return err
}

// addPair makes both ends in one message: the peer is born in the target, under its name. So there is no moment at
// which it could be seen, renamed or configured on the host's side, and nothing to wait for: a move would take 20 ms.
// Nor is there one at which it has no tag, without which Delete would leave what a program made that was killed.
func (b *build) addPair() (err error) {
	here := end{b.hostName(b.want.Interface), b.hostMAC(b.want.Interface), b.want.MTU}
	there := end{b.want.Interface, b.want.mac, b.want.MTU}
	tag := b.tag(b.want.Interface)
	if !isUp(b.lo) {
		tag += loWord
	}
	b.host, err = create(b.outside, here.name, here.mac, newPair(here, there, b.target), attach(here.name, tag, indexOf(b.bridge)))
	return err
}

// removePair removes both ends.
func (b *build) removePair() error { return deleteLink(b.outside, b.host) }

// findPeer looks up the other end, whose index is not known yet.
func (b *build) findPeer() error {
	a := b.inside.send(getLink(b.want.Interface))[0]
	if a.err != nil {
		return a.err
	}
	if !b.isPeer(a.link) {
		return fmt.Errorf("%s: %w", b.want.Interface, ErrForeign)
	}
	b.peer = a.link
	return nil
}

// isPeer makes sure that a link is the other end: the container may rename links, too. An index alone would not tell,
// since each namespace counts for itself. A container that forges all of this has its own link configured.
func (b *build) isPeer(link netlink.Link) bool {
	a := link.Attrs()
	return link.Type() == "veth" && a.ParentIndex == b.host.Attrs().Index && a.NetNsID >= 0
}

func (b *build) loDown() error { return setLoDown(b.inside) }

// setLoDown sets lo down as it was. IPv6 takes its address away, IPv4 leaves the one that it added.
func setLoDown(s *socket) error {
	answers := s.send(setDown(loIndex), deleteAddress(loIndex, netip.MustParsePrefix("127.0.0.1/8")))
	if err := answers[0].err; err != nil || errors.Is(answers[1].err, syscall.EADDRNOTAVAIL) {
		return err
	}
	return answers[1].err
}

func isUp(link netlink.Link) bool { return link.Attrs().Flags&net.FlagUp != 0 }

func indexOf(link netlink.Link) int { return link.Attrs().Index }
