package netconf

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrDiffers is the error for a pair that is there, but not as it should be.
var ErrDiffers = errors.New("is not as configured: delete it, then apply again")

// Plan is a configuration to be made.
type Plan struct {
	*Session
	Config
	Steps              []string // what is to be done: nothing if all is as configured
	steps              []step
	there              *Result      // what the target has
	bridge, host, peer netlink.Link // nil until they are there
}

// step is one change, which is made completely or not at all. undo is nil where that of an earlier step is enough.
type step struct{ do, undo func() error }

// Plan finds out which steps are to be taken. If there is a pair, but something is not as configured, the error is
// ErrDiffers: the container may have changed it, and had a reason.
func (s *Session) Plan(c Config) (*Plan, error) {
	c, err := c.check()
	if err != nil {
		return nil, err
	}
	p := &Plan{Session: s, Config: c, Steps: []string{}}
	for _, part := range []func() error{p.look, p.addLinks, p.addSysctls, p.addAddresses, p.addResolvConf} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	if p.host != nil && len(p.steps) > 0 {
		return nil, fmt.Errorf("%s lacks %q: it %w", c.Interface, p.Steps, ErrDiffers)
	}
	return p, nil
}

// Apply takes the steps, all or nothing: if one fails, or the context ends, those before it are undone.
func (p *Plan) Apply(ctx context.Context) (*Result, error) {
	var undo []func() error
	for i, s := range p.steps {
		err := context.Cause(ctx)
		if err == nil {
			err = s.do()
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", p.Steps[i], err)
			for _, f := range slices.Backward(undo) {
				err = errors.Join(err, f())
			}
			return nil, err
		}
		if s.undo != nil {
			undo = append(undo, s.undo)
		}
	}
	return p.result(), nil
}

// result is read off the configuration and the links, which have the MACs that they have got.
func (p *Plan) result() *Result {
	r := &Result{CNIVersion: "1.1.0", DNS: p.DNS}
	for _, link := range []netlink.Link{p.bridge, p.host, p.peer} {
		r.Interfaces = append(r.Interfaces, Interface{Name: link.Attrs().Name, MAC: link.Attrs().HardwareAddr.String()})
	}
	r.Interfaces[2].MTU, r.Interfaces[2].Sandbox = p.MTU, p.Sandbox
	for _, a := range p.Addresses {
		r.IPs = append(r.IPs, IP{2, a})
		if a.Gateway.IsValid() {
			r.Routes = append(r.Routes, a.route())
		}
	}
	return r
}

// look finds the links that are there, and refuses those that are in the way.
func (p *Plan) look() error {
	var errs [4]error
	p.bridge, errs[0] = find(p.outside, p.Bridge.Name)
	p.host, errs[1] = find(p.outside, p.hostEnd)
	p.peer, errs[2] = find(p.inside, p.Interface)
	p.there, errs[3] = p.Show()
	switch err := errors.Join(errs[:]...); {
	case err != nil:
		return err
	case p.bridge != nil && (p.bridge.Type() != "bridge" || !isUp(p.bridge)):
		return fmt.Errorf("%s is no bridge that is up, and is left alone", p.Bridge.Name)
	case p.host != nil && !isOurs(p.host, "veth") || p.host == nil && p.peer != nil:
		return fmt.Errorf("%s on the host's side, or %s in the target, was not made by this program", p.hostEnd, p.Interface)
	case p.host != nil && (p.bridge == nil || p.peer == nil || !p.isPair()):
		return fmt.Errorf("%s does not lead from %s to the target: it %w", p.Interface, p.Bridge.Name, ErrDiffers)
	}
	return nil
}

// find returns nil if there is no such link.
func find(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	return link, err
}

func isUp(link netlink.Link) bool { return link.Attrs().Flags&net.FlagUp != 0 }

// isPair reports whether these are the ends of one pair, and not of two that have the same indexes.
func (p *Plan) isPair() bool {
	host, peer := p.host.Attrs(), p.peer.Attrs()
	return p.peer.Type() == "veth" && peer.ParentIndex == host.Index && host.ParentIndex == peer.Index && peer.NetNsID >= 0
}

func (p *Plan) add(isDone bool, what string, do, undo func() error) {
	if !isDone {
		p.Steps, p.steps = append(p.Steps, what), append(p.steps, step{do, undo})
	}
}

// addLinks adds the steps for bridge and pair. To undo them is to delete the two.
func (p *Plan) addLinks() error {
	bridge, is := p.Bridge.Name, p.host != nil
	p.add(p.bridge != nil, "create bridge "+bridge, p.makeBridge, func() error { return p.deleteLinks("bridge", bridge) })
	for _, a := range p.Bridge.Addresses {
		p.add(p.bridge != nil, "add address "+a.String()+" to "+bridge, func() error { return addAddress(p.outside, p.bridge, a) }, nil)
	}
	p.add(p.bridge != nil, "set "+bridge+" up", func() error { return p.outside.LinkSetUp(p.bridge) }, nil)
	isMade := is && p.host.Attrs().MTU == p.MTU && p.peer.Attrs().MTU == p.MTU && (p.MAC == "" || p.MAC == p.peer.Attrs().HardwareAddr.String())
	pair := fmt.Sprintf("create the pair of %s and %s in the target, mtu %d %s", p.hostEnd, p.Interface, p.MTU, p.MAC)
	p.add(isMade, strings.TrimSpace(pair), p.makePair, func() error { return p.deleteLinks("veth", p.hostEnd) })
	p.add(is, "find "+p.Interface+" in the target", p.findPair, nil)
	isPort := is && p.host.Attrs().MasterIndex == p.bridge.Attrs().Index
	p.add(isPort, "attach "+p.hostEnd+" to bridge "+bridge, func() error { return p.outside.LinkSetMaster(p.host, p.bridge) }, nil)
	p.add(is && isUp(p.host), "set "+p.hostEnd+" up", func() error { return p.outside.LinkSetUp(p.host) }, nil)
	return nil
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
	return p.outside.LinkAdd(veth)
}

// findPair finds the peer by its index: the container may rename it, or put another link in its place.
func (p *Plan) findPair() (err error) {
	if p.host, err = p.outside.LinkByName(p.hostEnd); err == nil {
		p.peer, err = p.inside.LinkByIndex(p.host.Attrs().ParentIndex)
	}
	return err
}

// addAddresses adds what comes after the sysctls, some of which count when a link is set up.
func (p *Plan) addAddresses() error {
	lo, err := p.inside.LinkByName("lo")
	if err != nil {
		return err
	}
	loDown := func() error { // IPv4 has added an address, which it would leave
		_ = p.inside.AddrDel(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}})
		return p.inside.LinkSetDown(lo)
	}
	p.add(isUp(lo), "set lo up in the target", func() error { return p.inside.LinkSetUp(lo) }, loDown)
	p.add(p.peer != nil && isUp(p.peer), "set "+p.Interface+" up", func() error { return p.inside.LinkSetUp(p.peer) }, nil)
	i := slices.IndexFunc(p.there.Interfaces, func(l Interface) bool { return l.Name == p.Interface })
	for _, a := range p.Addresses {
		isThere := slices.Contains(p.there.IPs, IP{i, Address{Address: a.Address}})
		p.add(isThere, "add address "+a.Address.String()+" to "+p.Interface, func() error { return addAddress(p.inside, p.peer, a.Address) }, nil)
		isThere = !a.Gateway.IsValid() || slices.Contains(p.there.Routes, a.route())
		p.add(isThere, "add default route to "+a.Gateway.String(), func() error {
			return p.inside.RouteAdd(&netlink.Route{LinkIndex: p.peer.Attrs().Index, Gw: a.Gateway.AsSlice()})
		}, nil)
	}
	return nil
}

// addAddress adds an address that can be used at once: IPv6 would first ask for a second whether somebody else has it.
func addAddress(h *netlink.Handle, link netlink.Link, p netip.Prefix) error {
	a, err := netlink.ParseAddr(p.String())
	if err != nil || p.Addr().Is4In6() {
		return cmp.Or[error](err, unix.EAFNOSUPPORT)
	}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return h.AddrAdd(link, a)
}
