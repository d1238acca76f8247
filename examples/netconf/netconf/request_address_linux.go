package netconf

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// addAddress gives a link an address that can be used at once: IPv6 would first ask for a second if somebody else has
// it.
func addAddress(index int, p netip.Prefix) *nl.NetlinkRequest {
	return addressRequest(unix.RTM_NEWADDR, created, index, p)
}

func deleteAddress(index int, p netip.Prefix) *nl.NetlinkRequest {
	return addressRequest(unix.RTM_DELADDR, unix.NLM_F_ACK, index, p)
}

func addressRequest(kind, flags, index int, p netip.Prefix) *nl.NetlinkRequest {
	head := nl.NewIfAddrmsg(family(p.Addr()))
	head.Index, head.Prefixlen = uint32(index), uint8(p.Bits())
	attributes := []*nl.RtAttr{addr(unix.IFA_LOCAL, p.Addr()), addr(unix.IFA_ADDRESS, p.Addr())}
	if p.Addr().Is6() {
		head.Flags = unix.IFA_F_NODAD
	} else if p.Bits() < 31 { // RFC 3021
		attributes = append(attributes, nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(p)))
	}
	return newRequest(kind, flags, head, attributes)
}

// addDefaultRoute adds one to the main table.
func addDefaultRoute(index int, gateway netip.Addr) *nl.NetlinkRequest {
	head := nl.NewRtMsg()
	head.Family = uint8(family(gateway))
	return newRequest(unix.RTM_NEWROUTE, created, head, []*nl.RtAttr{
		addr(unix.RTA_GATEWAY, gateway), number(unix.RTA_OIF, index),
	})
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func broadcast(p netip.Prefix) []byte {
	all := p.Addr().AsSlice()
	for i, mask := range net.CIDRMask(p.Bits(), p.Addr().BitLen()) {
		all[i] |= ^mask
	}
	return all
}

func addr(attribute int, a netip.Addr) *nl.RtAttr { return nl.NewRtAttr(attribute, a.AsSlice()) }
