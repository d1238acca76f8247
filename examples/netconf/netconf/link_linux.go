package netconf

import (
	"net"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// parseLink returns the link that a message of the kernel describes, of which it keeps parts. It reads what this package
// asks for, and neither statistics nor what is of one kind of link only: netlink.LinkDeserialize reads all, for which
// reason it takes a twentieth of Apply longer.
func parseLink(message []byte) (netlink.Link, error) {
	head := nl.DeserializeIfInfomsg(message)
	attributes, err := nl.ParseRouteAttr(message[head.Len():])
	if err != nil {
		return nil, err
	}
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: int(head.Index), NetNsID: -1}, LinkType: "device"}
	if head.Flags&unix.IFF_UP != 0 {
		link.Flags = net.FlagUp
	}
	for _, a := range attributes {
		if a.Attr.Type == unix.IFLA_LINKINFO {
			link.LinkType, err = parseKind(a.Value)
		} else {
			parseAttribute(&link.LinkAttrs, a)
		}
	}
	return link, err
}

func parseAttribute(link *netlink.LinkAttrs, a syscall.NetlinkRouteAttr) {
	number := func() int { return int(int32(nl.NativeEndian().Uint32(a.Value))) }
	switch a.Attr.Type {
	case unix.IFLA_IFNAME:
		link.Name = unix.ByteSliceToString(a.Value)
	case unix.IFLA_IFALIAS:
		link.Alias = unix.ByteSliceToString(a.Value)
	case unix.IFLA_ADDRESS:
		link.HardwareAddr = a.Value
	case unix.IFLA_GROUP:
		link.Group = uint32(number())
	case unix.IFLA_MTU:
		link.MTU = number()
	case unix.IFLA_MASTER:
		link.MasterIndex = number()
	case unix.IFLA_LINK:
		link.ParentIndex = number()
	case unix.IFLA_LINK_NETNSID:
		link.NetNsID = number()
	}
}

// parseKind returns the kind of link, such as veth.
func parseKind(info []byte) (string, error) {
	attributes, err := nl.ParseRouteAttr(info)
	for _, a := range attributes {
		if a.Attr.Type == unix.IFLA_INFO_KIND {
			return unix.ByteSliceToString(a.Value), err
		}
	}
	return "", err
}
