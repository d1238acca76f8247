package netconf

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// rest returns the steps that are left where the pair is there. It is never converged: whoever changed it, the
// container perhaps, had a reason. Name servers and sysctls are set again, as they are in a fresh target.
func (b *build) rest() ([]step, error) {
	if !b.isOurs(b.host, b.want.Interface) {
		return nil, fmt.Errorf("%s on the host's side: %w", b.host.Attrs().Name, ErrForeign)
	}
	differences, err := b.differences()
	if err != nil {
		return nil, err
	}
	if len(differences) > 0 {
		return nil, fmt.Errorf("%s %w: %s", b.want.Interface, ErrDiffers, strings.Join(differences, "; "))
	}
	return b.restInside()
}

// differences tells how what is there is not as configured.
func (b *build) differences() ([]string, error) {
	if b.peer == nil || !b.isPeer(b.peer) || b.host.Attrs().ParentIndex != b.peer.Attrs().Index {
		return []string{"it is not in the target"}, nil
	}
	found := b.linkDifferences()
	addresses, err := listAddresses(b.inside, b.peer)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	routes, err := listRoutes(b.inside, b.peer)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, a := range b.want.addresses {
		if !hasAddress(addresses, a.Prefix) {
			found = append(found, "lacks address "+a.String())
		}
		if a.gateway.IsValid() && !hasRoute(routes, a) {
			found = append(found, "lacks the default route to "+a.gateway.String())
		}
	}
	return found, nil
}

func (b *build) linkDifferences() []string {
	var found []string
	differs := func(is bool, format string, args ...any) {
		if is {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	host, peer, mtu := b.host.Attrs(), b.peer.Attrs(), b.want.MTU
	if mtu == 0 {
		mtu = 1500
	}
	differs(b.bridge == nil || host.MasterIndex != b.bridge.Attrs().Index, "%s is no port of %s", host.Name, b.want.Bridge.Name)
	differs(!isUp(b.host), "%s is down", host.Name)
	differs(!isUp(b.peer), "it is down")
	differs(!isUp(b.lo), "lo is down")
	differs(b.want.mac != nil && peer.HardwareAddr.String() != b.want.mac.String(),
		"mac is %s, not %s", peer.HardwareAddr, b.want.mac)
	differs(peer.MTU != mtu, "mtu is %d, not %d", peer.MTU, mtu)
	differs(host.MTU != mtu, "mtu of %s is %d, not %d", host.Name, host.MTU, mtu)
	return found
}

func hasAddress(addresses []netlink.Addr, want netip.Prefix) bool {
	return slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return prefixOf(a.IPNet) == want })
}

// hasRoute looks for the default route of the address's family. The kernel gives that no destination, or 0.
func hasRoute(routes []netlink.Route, want address) bool {
	return slices.ContainsFunc(routes, func(r netlink.Route) bool {
		gateway, _ := netip.AddrFromSlice(r.Gw)
		return gateway.Unmap() == want.gateway && (r.Dst == nil || prefixOf(r.Dst) == want.defaultRoute())
	})
}

// prefixOf keeps the bits that are not of the subnet.
func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}
