package netconf

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Result is what a target has, in the shape of a CNI result of version 1.1.0.
type Result struct {
	CNIVersion string      `json:"cniVersion"`
	Interfaces []Interface `json:"interfaces"` // of Apply: the bridge, the host end, the target's interface
	IPs        []IP        `json:"ips,omitempty"`
	Routes     []Route     `json:"routes,omitempty"`
	DNS        DNS         `json:"dns,omitzero"` // of Apply
}

// Interface is a link.
type Interface struct {
	Name    string `json:"name"`
	MAC     string `json:"mac"`
	MTU     int    `json:"mtu,omitempty"`
	Sandbox string `json:"sandbox,omitempty"` // "" on the host's side
	Flags   string `json:"flags,omitempty"`   // of Show; see net.Flags
}

// IP is an address of Interfaces[Interface].
type IP struct {
	Interface int          `json:"interface"`
	Address   netip.Prefix `json:"address"`
	Gateway   netip.Addr   `json:"gateway,omitzero"`
}

// Route is a route.
type Route struct {
	Dst     netip.Prefix `json:"dst"`
	Gateway netip.Addr   `json:"gw,omitzero"`
}

// Show returns links, addresses and routes of the target.
func (s *Session) Show() (*Result, error) {
	r := &Result{CNIVersion: "1.1.0"}
	links, err := list(s.inside.LinkList)
	for i, link := range links {
		l := link.Attrs()
		r.Interfaces = append(r.Interfaces, Interface{l.Name, l.HardwareAddr.String(), l.MTU, s.Sandbox, l.Flags.String()})
		addresses, failed := list(func() ([]netlink.Addr, error) { return s.inside.AddrList(link, netlink.FAMILY_ALL) })
		for _, a := range addresses {
			r.IPs = append(r.IPs, IP{Interface: i, Address: prefix(a.IPNet)})
		}
		err = errors.Join(err, failed)
	}
	routes, failed := list(func() ([]netlink.Route, error) { return s.inside.RouteList(nil, netlink.FAMILY_ALL) })
	for _, route := range routes {
		gateway, _ := netip.AddrFromSlice(route.Gw)
		r.Routes = append(r.Routes, Route{prefix(route.Dst), gateway.Unmap()})
	}
	return r, errors.Join(err, failed)
}

// prefix keeps the bits that are not of the subnet.
func prefix(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

// result is read off the configuration and the links, which have the MACs that they have got.
func (p *Plan) result() *Result {
	r := &Result{CNIVersion: "1.1.0", DNS: p.DNS}
	for _, link := range []netlink.Link{p.bridge, p.host, p.peer} {
		r.Interfaces = append(r.Interfaces, Interface{Name: link.Attrs().Name, MAC: link.Attrs().HardwareAddr.String()})
	}
	r.Interfaces[2].MTU, r.Interfaces[2].Sandbox = p.MTU, p.Sandbox
	for _, a := range p.Addresses {
		r.IPs = append(r.IPs, IP{2, a.Address, a.Gateway})
		if a.Gateway.IsValid() {
			r.Routes = append(r.Routes, a.route())
		}
	}
	return r
}

// route returns the default route.
func (a Address) route() Route {
	if a.Gateway.Is4() {
		return Route{netip.PrefixFrom(netip.IPv4Unspecified(), 0), a.Gateway}
	}
	return Route{netip.PrefixFrom(netip.IPv6Unspecified(), 0), a.Gateway}
}
