package netconf

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// full is a configuration with all fields.
const full = `{
	"interface": "net1", "bridge": {"name": "br0", "addresses": ["10.88.0.1/24", "fd00:88::1/64"]},
	"mac": "02:00:00:00:00:02", "mtu": 1450,
	"addresses": [{"address": "10.88.0.2/24", "gateway": "10.88.0.1"}, {"address": "fd00:88::2/64", "gateway": "fd00:88::1"}],
	"dns": {"nameservers": ["10.88.0.1", "fe80::1%net1"], "domain": "a.test", "search": ["b.test", "c.test"], "options": ["ndots:2"]},
	"sysctls": {"net.ipv4.ip_forward": "1", "net.ipv4.tcp_rmem": "4096 131072\t6291456"}
}`

func TestReadConfig(t *testing.T) {
	c, err := ReadConfig(strings.NewReader(full))
	require.NoError(t, err)
	require.Equal(t, Config{
		Interface: "net1", MAC: "02:00:00:00:00:02", MTU: 1450,
		Bridge: Bridge{"br0", []netip.Prefix{netip.MustParsePrefix("10.88.0.1/24"), netip.MustParsePrefix("fd00:88::1/64")}},
		Addresses: []Address{
			{netip.MustParsePrefix("10.88.0.2/24"), netip.MustParseAddr("10.88.0.1")},
			{netip.MustParsePrefix("fd00:88::2/64"), netip.MustParseAddr("fd00:88::1")},
		},
		DNS:     DNS{[]netip.Addr{netip.MustParseAddr("10.88.0.1"), netip.MustParseAddr("fe80::1%net1")}, "a.test", []string{"b.test", "c.test"}, []string{"ndots:2"}},
		Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv4.tcp_rmem": "4096 131072\t6291456"},
	}, c)
	want := "nameserver 10.88.0.1\nnameserver fe80::1%net1\ndomain a.test\nsearch b.test c.test\noptions ndots:2\n"
	require.Equal(t, want, c.DNS.text())

	c, err = Config{Bridge: Bridge{Name: "br0"}}.check()
	require.NoError(t, err, "nothing but a bridge")
	require.Equal(t, Config{Interface: "eth0", Bridge: Bridge{Name: "br0"}, MTU: 1500}, c)
}

// TestReadConfigRefuses has a part of the error for each wrong configuration: field and value.
func TestReadConfigRefuses(t *testing.T) {
	with := func(fields string) string { return `{"bridge": {"name": "br0"}, ` + fields + `}` }
	address := func(a, gateway string) string {
		return with(`"addresses": [{"address": "` + a + `", "gateway": "` + gateway + `"}]`)
	}
	mtu6 := with(`"mtu": 1279, "addresses": [{"address": "fd00::2/64"}]`)
	twice := with(`"addresses": [{"address": "10.0.0.2/24"}, {"address": "10.0.0.2/16"}]`)
	gateways := with(`"addresses": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1"}, {"address": "10.0.0.3/24", "gateway": "10.0.0.1"}]`)
	for config, want := range map[string]string{
		``:                                      "config JSON: there is none",
		`{`:                                     "config JSON: unexpected EOF",
		`[]`:                                    "config JSON: json: cannot unmarshal array",
		`null`:                                  `config bridge.name: "" is not`,
		`{}`:                                    `config bridge.name: "" is not`,
		`{} {}`:                                 "config JSON: more than one object",
		full + "x":                              "config JSON: more than one object",
		`{"bridge": {"name": "br0"}, "mut": 1}`: `unknown field "mut"`,
		`{"bridge": {"nome": "br0"}}`:           `unknown field "nome"`,
		`{"bridge": "br0"}`:                     "cannot unmarshal string into Go struct field Config.bridge of type netconf.Bridge",
		with(`"mtu": "1500"`):                   "cannot unmarshal string into Go struct field Config.mtu of type int",
		with(`"mtu": 1e99`):                     "cannot unmarshal number 1e99 into Go struct field Config.mtu of type int",
		with(`"mtu": 67`):                       `config mtu: "67" is not from 68`,
		with(`"mtu": -1`):                       `config mtu: "-1" is not`,
		with(`"mtu": 65536`):                    `config mtu: "65536" is not`,
		mtu6:                                    `config mtu: "1279" is not from 1280`,
		`{"bridge": {"name": "sixteen-letters-"}}`:                        `config bridge.name: "sixteen-letters-" is not`,
		`{"bridge": {"name": "a/b"}}`:                                     `config bridge.name: "a/b"`,
		`{"bridge": {"name": "br%d"}}`:                                    `config bridge.name: "br%d"`,
		with(`"interface": "a b"`):                                        `config interface: "a b"`,
		with(`"interface": ".."`):                                         `config interface: ".."`,
		with(`"interface": "lo"`):                                         `config interface: "lo"`,
		with(`"interface": "all"`):                                        `config interface: "all"`,
		with(`"interface": "eth0:1"`):                                     `config interface: "eth0:1"`,
		with(`"interface": "\u00e9th0"`):                                  `config interface: "éth0"`,
		with(`"interface": "eth0\u0000"`):                                 `config interface: "eth0\x00"`,
		with(`"mac": "02:00"`):                                            `config mac: "02:00" is not`,
		with(`"mac": "03:00:00:00:00:02"`):                                `config mac: "03:00:00:00:00:02"`,
		with(`"mac": "00:00:00:00:00:00"`):                                `config mac: "00:00:00:00:00:00"`,
		with(`"mac": "02:00:00:00:00:00:00:01"`):                          `config mac: "02:00:00:00:00:00:00:01"`,
		address("10.0.0.2", ""):                                           `config JSON: netip.ParsePrefix("10.0.0.2")`,
		address("10.0.0.2/33", ""):                                        `config JSON: netip.ParsePrefix("10.0.0.2/33")`,
		address("10.0.0.2/0", ""):                                         `config addresses[0].address: "10.0.0.2/0"`,
		address("10.0.0.0/24", ""):                                        `"10.0.0.0/24" is not the address of a host`,
		address("10.0.0.255/24", ""):                                      `"10.0.0.255/24" is not the address of a host`,
		address("127.0.0.1/8", ""):                                        `"127.0.0.1/8" is not the address of a host`,
		address("224.0.0.1/24", ""):                                       `"224.0.0.1/24" is not the address of a host`,
		address("::/64", ""):                                              `"::/64" is not the address of a host`,
		address("::ffff:10.0.0.2/120", ""):                                `"::ffff:10.0.0.2/120" is not`,
		address("fe80::1%eth0/64", ""):                                    `config JSON: netip.ParsePrefix("fe80::1%eth0/64")`,
		address("10.0.0.2/24", "10.0.1.1"):                                `config addresses[0].gateway: "10.0.1.1" is not another host's in 10.0.0.0/24`,
		address("10.0.0.2/24", "10.0.0.2"):                                `config addresses[0].gateway: "10.0.0.2"`,
		address("10.0.0.2/24", "10.0.0.255"):                              `config addresses[0].gateway: "10.0.0.255"`,
		address("10.0.0.2/24", "fd00::1"):                                 `config addresses[0].gateway: "fd00::1"`,
		address("10.0.0.2/24", "gw"):                                      `config JSON: ParseAddr("gw")`,
		twice:                                                             `config addresses[1].address: "10.0.0.2/16" is not the address of a host in its subnet, and there once`,
		gateways:                                                          `config addresses[1].gateway: "10.0.0.1" is not another`,
		`{"bridge": {"name": "br0", "addresses": ["x"]}}`:                 `config JSON: netip.ParsePrefix("x")`,
		with(`"dns": {"nameservers": ["one"]}`):                           `config JSON: ParseAddr("one")`,
		with(`"dns": {"nameservers": ["fe80::1%a\nnameserver 6.6.6.6"]}`): `config dns.nameservers[0]: "fe80::1%a\nnameserver 6.6.6.6" is not`,
		with(`"dns": {"search": ["a", "b\nnameserver 6.6.6.6"]}`):         `config dns: "b\nnameserver 6.6.6.6"`,
		with(`"dns": {"options": [""]}`):                                  `config dns: ""`,
		with(`"dns": {"domain": "a b"}`):                                  `config dns: "a b"`,
		with(`"sysctls": {"kernel.panic": "1"}`):                          `config sysctls: "kernel.panic" is not a sysctl of net.core`,
		with(`"sysctls": {"net.ipv4.ip_forward": ""}`):                    `config sysctls[net.ipv4.ip_forward]: ""`,
		with(`"sysctls": {"net.ipv4.ip_forward": "1\n"}`):                 `config sysctls[net.ipv4.ip_forward]: "1\n"`,
		with(`"dns": {"domain": "` + strings.Repeat("x", 1<<20) + `"}`):   "config JSON: unexpected EOF",
	} {
		_, err := ReadConfig(strings.NewReader(config))
		require.ErrorContains(t, err, want, "%.200s", config)
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":                  "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":                  "net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/100.forwarding":    "net/ipv4/conf/eth0.100/forwarding",
		"net/ipv4/conf/eth0.100/forwarding":    "net/ipv4/conf/eth0.100/forwarding",
		"net.netfilter.nf_conntrack_tcp_loose": "net/netfilter/nf_conntrack_tcp_loose",
	} {
		require.Equal(t, want, sysctlPath(name))
	}
	for _, name := range []string{
		"", "net", "net.ipv4", "net.ipv4.", "kernel.panic", "vm.overcommit_memory", "/net/ipv4/ip_forward", "net//ipv4/x",
		"net/ipv4/../../kernel/panic", "net.ipv4.//.//.kernel.panic", "net/ipv4/./x", "net.ipv4.x y", "net.ipv4.x\n", "net.ipv4.é",
		"net.nf_conntrack_max", "net/ipv4/" + strings.Repeat("x", 65),
	} {
		require.Empty(t, sysctlPath(name), name)
	}
}

// FuzzReadConfig: what is accepted survives a round trip, and lets nothing through to the system that could be taken for
// something else.
func FuzzReadConfig(f *testing.F) {
	f.Add(full)
	f.Add(`{"bridge": {"name": "br0"}, "addresses": [{"address": "10.0.0.2/31", "gateway": "10.0.0.3"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ReadConfig(strings.NewReader(text))
		if err != nil {
			require.ErrorContains(t, err, "config ")
			return
		}
		again, err := json.Marshal(c)
		require.NoError(t, err)
		back, err := ReadConfig(strings.NewReader(string(again)))
		require.NoError(t, err)
		backAgain, err := json.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, string(again), string(backAgain))
		lines := len(c.DNS.Nameservers) + min(len(c.DNS.Domain), 1) + min(len(c.DNS.Search), 1) + min(len(c.DNS.Options), 1)
		require.Equal(t, lines, strings.Count(c.DNS.text(), "\n"))
		for name := range c.Sysctls {
			path := sysctlPath(name)
			require.True(t, strings.HasPrefix(path, "net/"))
			require.NotContains(t, "/"+path+"/", "/../")
		}
	})
}
