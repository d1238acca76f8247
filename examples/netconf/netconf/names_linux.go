package netconf

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
)

// Aliases that say what is ours. ip(8) shows them.
const (
	pairTag   = "nsops-netconf "       // and the target's identity, the interface's name, and words
	bridgeTag = "nsops-netconf bridge" // a bridge that is deleted with its last port
	loWord    = " lo"                  // in the tag of a pair: lo was down, Delete sets it down again
)

// unfinished is the group of a bridge that has no alias yet: unlike an alias, a group can be given in the message that
// makes a link. Delete takes such a bridge away after a program was killed.
const unfinished = 0x6e736f70

// hostName returns the name of the host end: the same in every run for the same target and interface.
func (s *session) hostName(ifname string) string {
	sum := s.sum(ifname)
	return "nsops" + hex.EncodeToString(sum[:5])
}

// hostMAC returns the MAC of the host end, which is thereby known without asking.
func (s *session) hostMAC(ifname string) net.HardwareAddr {
	sum := s.sum(ifname)
	return localMAC(sum[5:11])
}

func (s *session) sum(ifname string) [sha256.Size]byte {
	return sha256.Sum256([]byte(s.id.String() + " " + ifname))
}

// newMAC returns a MAC for a bridge. A bridge that was given one keeps it; another takes that of one of its ports, and
// changes it as they come and go.
func newMAC() net.HardwareAddr {
	mac := make([]byte, 6)
	_, _ = rand.Read(mac) // never fails
	return localMAC(mac)
}

// localMAC makes a MAC that is of one interface and administered locally.
func localMAC(mac []byte) net.HardwareAddr {
	mac[0] = mac[0]&^1 | 2
	return mac
}

// tag returns the alias of the host end.
func (s *session) tag(ifname string) string { return pairTag + s.id.String() + " " + ifname }

// isOurs says whether link is a host end for the target and that interface; "" is any.
func (s *session) isOurs(link netlink.Link, ifname string) bool {
	alias := strings.TrimSuffix(link.Attrs().Alias, loWord)
	if ifname == "" {
		return link.Type() == "veth" && strings.HasPrefix(alias, s.tag(""))
	}
	return link.Type() == "veth" && alias == s.tag(ifname)
}
