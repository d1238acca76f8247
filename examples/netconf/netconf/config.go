// Package netconf gives a container an interface, as a CNI plugin would: a veth pair of which one end is eth0 in the
// target and the other a port of a bridge, with addresses, default routes, name servers and sysctls.
package netconf

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
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
	Gateway netip.Addr   `json:"gateway,omitzero"` // in the same subnet; the zero value: no default route
}

// DNS is what resolv.conf(5) is to say.
type DNS struct {
	Nameservers []netip.Addr `json:"nameservers,omitempty"`
	Domain      string       `json:"domain,omitempty"`
	Search      []string     `json:"search,omitempty"`
	Options     []string     `json:"options,omitempty"`
}

// ReadConfig reads and checks one JSON object, up to EOF. Unknown fields are errors.
func ReadConfig(r io.Reader) (c Config, err error) {
	d := json.NewDecoder(io.LimitReader(r, 1<<20))
	d.DisallowUnknownFields()
	switch err := d.Decode(&c); {
	case errors.Is(err, io.EOF):
		return c, errors.New("config JSON: there is none: give it on stdin, or with --config")
	case err != nil:
		return c, fmt.Errorf("config JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, errors.New("config JSON: more than one object, or more than a megabyte")
	}
	return c.check()
}

var (
	linkName   = regexp.MustCompile(`^[A-Za-z0-9_.@+=-]{1,15}$`)
	badNames   = []string{".", "..", "lo", "all", "default"}
	word       = regexp.MustCompile(`^[!-~]{1,253}$`) // cannot be taken for two words of resolv.conf, or two lines
	line       = regexp.MustCompile(`^[\t -~]*[!-~][\t -~]*$`)
	sysctlFile = regexp.MustCompile(`^net/(core|ipv4|ipv6|mpls|netfilter|unix)(/[A-Za-z0-9_@.-]{1,64})+$`)
)

// wrong is the first value that is not as it should be.
type wrong struct{ err error }

func (w *wrong) unless(ok bool, field string, value any, should string) {
	if !ok && w.err == nil {
		w.err = fmt.Errorf("config %s: %q is not %s", field, fmt.Sprint(value), should)
	}
}

// check returns the configuration with its defaults.
func (c Config) check() (Config, error) {
	var w wrong
	c.Interface, c.MTU = cmp.Or(c.Interface, "eth0"), cmp.Or(c.MTU, 1500)
	for field, name := range map[string]string{"interface": c.Interface, "bridge.name": c.Bridge.Name} {
		ok := linkName.MatchString(name) && !slices.Contains(badNames, name)
		w.unless(ok, field, name, "the name of a link: up to 15 letters, digits, or _.@+=-")
	}
	if mac, err := net.ParseMAC(c.MAC); c.MAC != "" {
		ok := err == nil && len(mac) == 6 && mac[0]&1 == 0 && slices.Max(mac) > 0
		w.unless(ok, "mac", c.MAC, "of one interface, such as 02:00:00:00:00:02")
		c.MAC = mac.String()
	}
	c.checkAddresses(&w)
	for i, a := range c.DNS.Nameservers {
		w.unless(a.IsValid() && word.MatchString(a.String()), fmt.Sprintf("dns.nameservers[%d]", i), a, "an IP address")
	}
	for _, text := range slices.Concat([]string{cmp.Or(c.DNS.Domain, "none")}, c.DNS.Search, c.DNS.Options) {
		w.unless(word.MatchString(text), "dns", text, "a word of up to 253 printable ASCII characters")
	}
	for name, value := range c.Sysctls {
		w.unless(sysctlPath(name) != "", "sysctls", name, "a sysctl of net.core, .ipv4, .ipv6, .mpls, .netfilter or .unix")
		w.unless(line.MatchString(value), "sysctls["+name+"]", value, "a line of ASCII text")
	}
	return c, w.err
}

func (c Config) checkAddresses(w *wrong) {
	w.unless(68 <= c.MTU && c.MTU <= 65535, "mtu", c.MTU, "from 68 to 65535")
	for i, a := range c.Bridge.Addresses {
		w.unless(isHost(a.Addr(), a), fmt.Sprintf("bridge.addresses[%d]", i), a, "the address of a host in its subnet")
	}
	seen := map[any]bool{} // addresses, and families that have a gateway
	for i, a := range c.Addresses {
		field, address := fmt.Sprintf("addresses[%d].", i), a.Address.Addr()
		ok := isHost(address, a.Address) && !seen[address]
		w.unless(ok, field+"address", a.Address, "the address of a host in its subnet, and there once")
		w.unless(address.Is4() || c.MTU >= 1280, "mtu", c.MTU, "from 1280 to 65535, as IPv6 needs")
		if a.Gateway.IsValid() {
			ok = isHost(a.Gateway, a.Address) && a.Gateway != address && !seen[address.Is6()]
			w.unless(ok, field+"gateway", a.Gateway, "another host's in "+a.Address.Masked().String()+", and the only one of its family")
			seen[address.Is6()] = true
		}
		seen[address] = true
	}
}

// isHost reports whether one host of the subnet can have the address.
func isHost(a netip.Addr, subnet netip.Prefix) bool {
	isEnd := a.Is4() && subnet.Bits() < 31 && (a == subnet.Masked().Addr() || !subnet.Contains(a.Next())) // RFC 3021
	return subnet.Bits() > 0 && subnet.Contains(a) && !isEnd && !a.Is4In6() &&
		!a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

// sysctlPath returns the path below /proc/sys, "" if it is not of a network namespace. As with sysctl(8), dots or slashes
// separate the words, whichever comes first, and the other stands for itself: net.ipv4.conf.eth0/1.forwarding.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	if !sysctlFile.MatchString(name) || path.Clean(name) != name {
		return ""
	}
	return name
}

// IsZero reports whether nothing is configured.
func (d DNS) IsZero() bool { return d.text() == "" }

// text returns what goes into /etc/resolv.conf.
func (d DNS) text() (text string) {
	for _, server := range d.Nameservers {
		text += "nameserver " + server.String() + "\n"
	}
	search, options := strings.Join(d.Search, " "), strings.Join(d.Options, " ")
	for _, line := range [][2]string{{"domain", d.Domain}, {"search", search}, {"options", options}} {
		if line[1] != "" {
			text += line[0] + " " + line[1] + "\n"
		}
	}
	return text
}
