package netconf

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// checked is a configuration whose text has been parsed.
type checked struct {
	Config
	mac             net.HardwareAddr // nil: none given
	bridgeAddresses []netip.Prefix
	addresses       []address
}

// address is an address of the interface.
type address struct {
	netip.Prefix
	gateway netip.Addr // of the default route of its family; the zero value: none
}

// defaultRoute returns the destination that is everywhere, of the address's family.
func (a address) defaultRoute() netip.Prefix {
	if a.Addr().Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// needsProcess says whether there is something to do that a path to a network namespace gives no access to.
func (c *checked) needsProcess() bool { return !c.DNS.IsZero() || len(c.Sysctls) > 0 }

// check parses the configuration. The first error is returned.
func (c Config) check() (*checked, error) {
	if c.Interface == "" {
		c.Interface = "eth0"
	}
	w := &checked{Config: c}
	for _, part := range []func() error{
		w.checkNames, w.checkMAC, w.checkBridge, w.checkAddresses, w.checkMTU, w.checkDNS, w.checkSysctls,
	} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// invalid is the error of a value that should have been another.
func invalid(field, value, should string) error {
	return &Error{"config", field, fmt.Errorf("%q is not %s", value, should)}
}

func (c *checked) checkNames() error {
	if err := checkName("interface", c.Interface); err != nil {
		return err
	}
	return checkName("bridge.name", c.Bridge.Name)
}

// checkName is dev_valid_name of the kernel, without what would be surprising: % makes the kernel number the links,
// and all and default are folders in /proc/sys/net.
func checkName(field, name string) error {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/:%"\`, r) }
	switch {
	case name == "" || len(name) > 15 || strings.ContainsFunc(name, odd):
		return invalid(field, name, `the name of a link: 1 to 15 ASCII characters, no spaces or / : % " \`)
	case slices.Contains([]string{".", "..", "lo", "all", "default"}, name):
		return invalid(field, name, "free to be the name of a link")
	}
	return nil
}

func (c *checked) checkMAC() error {
	if c.MAC == "" {
		return nil
	}
	mac, err := net.ParseMAC(c.MAC)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 || slices.Max(mac) == 0 {
		return invalid("mac", c.MAC, "a MAC address of one interface, such as 02:00:00:00:00:02")
	}
	c.mac = mac
	return nil
}

func (c *checked) checkMTU() error {
	least := 68
	if slices.ContainsFunc(c.addresses, func(a address) bool { return a.Addr().Is6() }) {
		least = 1280 // below, the kernel takes IPv6 off the interface
	}
	if c.MTU != 0 && (c.MTU < least || c.MTU > 65535) {
		return invalid("mtu", strconv.Itoa(c.MTU), fmt.Sprintf("from %d to 65535", least))
	}
	return nil
}

func (c *checked) checkBridge() error {
	for i, text := range c.Bridge.Addresses {
		address, err := parseAddress(fmt.Sprintf("bridge.addresses[%d]", i), text)
		if err != nil {
			return err
		}
		c.bridgeAddresses = append(c.bridgeAddresses, address)
	}
	return twice("bridge.addresses", c.bridgeAddresses)
}

func (c *checked) checkAddresses() error {
	var prefixes []netip.Prefix
	for i, text := range c.Addresses {
		a, err := c.checkAddress(fmt.Sprintf("addresses[%d]", i), text)
		if err != nil {
			return err
		}
		c.addresses = append(c.addresses, a)
		prefixes = append(prefixes, a.Prefix)
	}
	return twice("addresses", prefixes)
}

func (c *checked) checkAddress(field string, text Address) (a address, err error) {
	if a.Prefix, err = parseAddress(field+".address", text.Address); err != nil || text.Gateway == "" {
		return a, err
	}
	if a.gateway, err = parseGateway(field+".gateway", text.Gateway, a.Prefix); err != nil {
		return a, err
	}
	for _, other := range c.addresses {
		if other.gateway.IsValid() && other.gateway.Is4() == a.gateway.Is4() {
			return a, &Error{"config", field + ".gateway", errors.New("a second default route of its family")}
		}
	}
	return a, nil
}

// parseAddress parses the address of a host, with the prefix length of its subnet.
func parseAddress(field, text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() || p.Bits() == 0 {
		return p, invalid(field, text, "an address with a prefix length, such as 10.88.0.2/24 or fd00:88::2/64")
	}
	if !isHost(p.Addr(), p) {
		return p, invalid(field, text, "the address of a host in its subnet")
	}
	return p, nil
}

func parseGateway(field, text string, address netip.Prefix) (netip.Addr, error) {
	gateway, err := netip.ParseAddr(text)
	if err != nil || gateway == address.Addr() || !isHost(gateway, address) {
		return gateway, invalid(field, text, "another address of a host in "+address.Masked().String())
	}
	return gateway, nil
}

// isHost says whether a is an address that one host of the subnet can have.
func isHost(a netip.Addr, subnet netip.Prefix) bool {
	if !subnet.Contains(a) || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return false
	}
	if a.Is6() || subnet.Bits() >= 31 { // RFC 3021
		return true
	}
	next := a.Next()
	return a != subnet.Masked().Addr() && next.IsValid() && subnet.Contains(next)
}

func twice(field string, addresses []netip.Prefix) error {
	for i, p := range addresses {
		if slices.ContainsFunc(addresses[:i], func(q netip.Prefix) bool { return p.Addr() == q.Addr() }) {
			return &Error{"config", field, fmt.Errorf("%s is there twice", p.Addr())}
		}
	}
	return nil
}

func (c *checked) checkDNS() error {
	for i, text := range c.DNS.Nameservers {
		if a, err := netip.ParseAddr(text); err != nil || a.IsMulticast() {
			return invalid(fmt.Sprintf("dns.nameservers[%d]", i), text, "an IP address")
		}
	}
	if c.DNS.Domain != "" && !isWord(c.DNS.Domain) {
		return invalid("dns.domain", c.DNS.Domain, aWord)
	}
	if err := checkWords("dns.search", c.DNS.Search); err != nil {
		return err
	}
	return checkWords("dns.options", c.DNS.Options)
}

func checkWords(field string, words []string) error {
	for i, word := range words {
		if !isWord(word) {
			return invalid(fmt.Sprintf("%s[%d]", field, i), word, aWord)
		}
	}
	return nil
}

const aWord = "a word of up to 253 printable ASCII characters"

// isWord says whether s can stand in a line of resolv.conf without being taken for two words or two lines.
func isWord(s string) bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, odd)
}

func (c *checked) checkSysctls() error {
	for _, name := range slices.Sorted(maps.Keys(c.Sysctls)) {
		if _, err := sysctlPath(name); err != nil {
			return err
		}
		value := c.Sysctls[name]
		odd := func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }
		if strings.TrimSpace(value) == "" || len(value) > 1024 || strings.ContainsFunc(value, odd) {
			return invalid("sysctls["+name+"]", value, "a line of printable ASCII text")
		}
	}
	return nil
}
