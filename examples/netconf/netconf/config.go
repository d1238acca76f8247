// Package netconf gives a container an interface, as a CNI plugin would: a veth pair of which one end is eth0 in the
// target and the other a port of a bridge, with addresses, default routes, name servers and sysctls.
package netconf

import (
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// Config is what a target is to have. The names are those of the CNI specification, where it has some.
type Config struct {
	Interface string            `json:"interface,omitempty"` // name in the target, "" for eth0
	Bridge    Bridge            `json:"bridge"`              // what the host end is attached to
	MAC       string            `json:"mac,omitempty"`       // of the interface; "": the kernel draws one
	MTU       int               `json:"mtu,omitempty"`       // of both ends; 0: 1500
	Addresses []Address         `json:"addresses,omitempty"`
	DNS       DNS               `json:"dns,omitzero"`      // for /etc/resolv.conf; empty: it is left alone
	Sysctls   map[string]string `json:"sysctls,omitempty"` // by name, such as net.ipv4.ip_forward
}

// Bridge is a bridge on the host's side. One that is there has to be up, and stays as it is.
type Bridge struct {
	Name      string         `json:"name"`
	Addresses []netip.Prefix `json:"addresses,omitempty"` // of a bridge that is made
}

// Address is an address of the interface, and the gateway of the default route of its family.
type Address struct {
	Address netip.Prefix `json:"address"`          // such as 10.88.0.2/24 or fd00:88::2/64
	Gateway netip.Addr   `json:"gateway,omitzero"` // the zero value: no default route
}

// DNS has the name servers.
type DNS struct {
	Nameservers []netip.Addr `json:"nameservers,omitempty"`
}

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
	Interface int `json:"interface"`
	Address
}

// Route is a route.
type Route struct {
	Dst     netip.Prefix `json:"dst"`
	Gateway netip.Addr   `json:"gw,omitzero"`
}

var linkName = regexp.MustCompile(`^[A-Za-z0-9_.@+=-]{1,15}$`)

// check returns the configuration with its defaults. It finds what the kernel would misunderstand, such as names with %d;
// what the kernel refuses, Apply rolls back.
func (c Config) check() (Config, error) {
	mac, err := net.ParseMAC(c.MAC)
	if c.MAC != "" && (err != nil || len(mac) != 6) {
		return c, fmt.Errorf("config: %q is no mac such as 02:00:00:00:00:02", c.MAC)
	}
	c.Interface, c.MAC, c.MTU = cmp.Or(c.Interface, "eth0"), mac.String(), cmp.Or(c.MTU, 1500)
	for _, name := range []string{c.Interface, c.Bridge.Name} {
		if !linkName.MatchString(name) {
			return c, fmt.Errorf("config: %q is no name for a link", name)
		}
	}
	for name := range c.Sysctls {
		if path := sysctlPath(name); !fs.ValidPath(path) || !strings.HasPrefix(path, "net/") {
			return c, fmt.Errorf("config: %q is no sysctl of a network namespace", name)
		}
	}
	return c, nil
}

// sysctlPath returns the path below /proc/sys. With slashes, as in net/ipv4/conf/eth0.1/forwarding, the name is the path.
func sysctlPath(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return strings.ReplaceAll(name, ".", "/")
}

// text returns what goes into /etc/resolv.conf.
func (d DNS) text() (text string) {
	for _, server := range d.Nameservers {
		text += "nameserver " + server.String() + "\n"
	}
	return text
}

// route returns the default route.
func (a Address) route() Route {
	all, _ := a.Gateway.Prefix(0)
	return Route{all, a.Gateway}
}
