package netconf

import (
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
)

// linkRequest is a request about the link with that index; 0: the one named in the attributes. As every request here it
// has one answer. See rtnetlink(7).
func linkRequest(kind, index int, attributes ...*nl.RtAttr) *nl.NetlinkRequest {
	flags := unix.NLM_F_ACK
	if kind == unix.RTM_GETLINK { // the link is the answer
		flags = 0
	}
	return newRequest(kind, flags, &nl.IfInfomsg{IfInfomsg: unix.IfInfomsg{Index: int32(index)}}, attributes)
}

func newRequest(kind, flags int, head nl.NetlinkRequestData, attributes []*nl.RtAttr) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.AddData(head)
	for _, a := range attributes {
		r.AddData(a)
	}
	return r
}

// created are the flags of a request for something that must not be there yet.
const created = unix.NLM_F_CREATE | unix.NLM_F_EXCL | unix.NLM_F_ACK

func number(attribute, value int) *nl.RtAttr {
	return nl.NewRtAttr(attribute, nl.Uint32Attr(uint32(value)))
}

func named(name string) *nl.RtAttr { return nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)) }

// withoutStatistics is RTEXT_FILTER_SKIP_STATS: they are half of what is to be known of a link.
func withoutStatistics() *nl.RtAttr { return number(unix.IFLA_EXT_MASK, 1<<3) }

func getLink(name string) *nl.NetlinkRequest {
	return linkRequest(unix.RTM_GETLINK, 0, named(name), withoutStatistics())
}

func getLo() *nl.NetlinkRequest { return linkRequest(unix.RTM_GETLINK, loIndex, withoutStatistics()) }

// loIndex is the index of lo in each namespace.
const loIndex = 1

func aliased(alias string) *nl.RtAttr { return nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)) }

// tagBridge takes a bridge out of the group of those that have no alias, too.
func tagBridge(index int) *nl.NetlinkRequest {
	return linkRequest(unix.RTM_SETLINK, index, aliased(bridgeTag), number(unix.IFLA_GROUP, 0))
}

func setUp(index int) *nl.NetlinkRequest { return setFlags(index, unix.IFF_UP) }

func setDown(index int) *nl.NetlinkRequest { return setFlags(index, 0) }

func setFlags(index int, flags uint32, attributes ...*nl.RtAttr) *nl.NetlinkRequest {
	head := unix.IfInfomsg{Index: int32(index), Flags: flags, Change: unix.IFF_UP}
	return newRequest(unix.RTM_SETLINK, unix.NLM_F_ACK, &nl.IfInfomsg{IfInfomsg: head}, attributes)
}

// attach tags a link, makes it a port of a bridge, and sets it up. It goes by a name that nobody else uses, since the link
// is made in the same message.
func attach(name, alias string, bridge int) *nl.NetlinkRequest {
	return setFlags(0, unix.IFF_UP, named(name), aliased(alias), number(unix.IFLA_MASTER, bridge))
}

func newBridge(name string, mac net.HardwareAddr) *nl.NetlinkRequest {
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(unix.IFLA_INFO_KIND, []byte("bridge"))
	attributes := []*nl.RtAttr{named(name), nl.NewRtAttr(unix.IFLA_ADDRESS, mac), number(unix.IFLA_GROUP, unfinished), info}
	return newRequest(unix.RTM_NEWLINK, created, &nl.IfInfomsg{}, attributes)
}

// end is an end of a pair.
type end struct {
	name string
	mac  net.HardwareAddr // nil: the kernel draws one
	mtu  int              // 0: the kernel's
}

// attributes are those of either end. Without numbers, an end has as many queues as there are CPUs, each with its
// folders in /sys. Only XDP uses more than one: a veth has no queueing discipline.
func (e end) attributes() []*nl.RtAttr {
	all := []*nl.RtAttr{
		named(e.name), number(unix.IFLA_NUM_TX_QUEUES, 1), number(unix.IFLA_NUM_RX_QUEUES, 1),
	}
	if e.mac != nil {
		all = append(all, nl.NewRtAttr(unix.IFLA_ADDRESS, e.mac))
	}
	if e.mtu != 0 {
		all = append(all, number(unix.IFLA_MTU, e.mtu))
	}
	return all
}

// newPair makes a veth pair: one end here, the other in the target. Both are down: the kernel refuses to set the other up
// in the same message, and takes a tenth of a millisecond longer to set this one up now than in a second one. It
// would ignore an alias.
func newPair(here, there end, target handle.NsHandle) *nl.NetlinkRequest {
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(unix.IFLA_INFO_KIND, []byte("veth"))
	peer := info.AddRtAttr(unix.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	peer.AddChild(&nl.IfInfomsg{})
	peer.AddChild(number(unix.IFLA_NET_NS_FD, int(target)))
	for _, a := range there.attributes() {
		peer.AddChild(a)
	}
	return newRequest(unix.RTM_NEWLINK, created, &nl.IfInfomsg{}, append(here.attributes(), info))
}
