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
	"dns": {"nameservers": ["10.88.0.1", "fe80::1%net1"]},
	"sysctls": {"net.ipv4.ip_forward": "1", "net.ipv4.tcp_rmem": "4096 131072\t6291456"}
}`

func read(text string) (c Config, err error) {
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, err
	}
	return c.check()
}

func TestConfig(t *testing.T) {
	c, err := read(full)
	require.NoError(t, err)
	require.Equal(t, Config{
		Interface: "net1", MAC: "02:00:00:00:00:02", MTU: 1450,
		Bridge: Bridge{"br0", []netip.Prefix{netip.MustParsePrefix("10.88.0.1/24"), netip.MustParsePrefix("fd00:88::1/64")}},
		Addresses: []Address{
			{netip.MustParsePrefix("10.88.0.2/24"), netip.MustParseAddr("10.88.0.1")},
			{netip.MustParsePrefix("fd00:88::2/64"), netip.MustParseAddr("fd00:88::1")},
		},
		DNS:     DNS{[]netip.Addr{netip.MustParseAddr("10.88.0.1"), netip.MustParseAddr("fe80::1%net1")}},
		Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv4.tcp_rmem": "4096 131072\t6291456"},
	}, c)
	require.Equal(t, "nameserver 10.88.0.1\nnameserver fe80::1%net1\n", c.DNS.text())

	c, err = Config{Bridge: Bridge{Name: "br0"}}.check()
	require.NoError(t, err, "nothing but a bridge")
	require.Equal(t, Config{Interface: "eth0", Bridge: Bridge{Name: "br0"}, MTU: 1500}, c)
}

// TestConfigRefuses has what the kernel would take for something else.
func TestConfigRefuses(t *testing.T) {
	with := func(fields string) string { return `{"bridge": {"name": "br0"}, ` + fields + `}` }
	for config, want := range map[string]string{
		`{}`: `config: "" is no name for a link`,
		`{"bridge": {"name": "sixteen-letters-"}}`: `"sixteen-letters-" is no name`,
		`{"bridge": {"name": "a/b"}}`:              `"a/b" is no name`,
		`{"bridge": {"name": "br%d"}}`:             `"br%d" is no name`,
		`{"bridge": {"name": "*"}}`:                `"*" is no name`,
		with(`"interface": "a b"`):                 `"a b" is no name`,
		with(`"interface": "eth0\u0000"`):          `"eth0\x00" is no name`,
		with(`"mac": "02:00"`):                     `"02:00" is no mac`,
		with(`"mac": "02:00:00:00:00:00:00:01"`):   `"02:00:00:00:00:00:00:01" is no mac`,
		with(`"sysctls": {"kernel.panic": "1"}`):   `"kernel.panic" is no sysctl of a network namespace`,
	} {
		_, err := read(config)
		require.ErrorContains(t, err, want, config)
	}
	for _, name := range []string{
		"", "net", "net.", "kernel.panic", "vm.overcommit_memory", "/net/ipv4/ip_forward", "net//ipv4/x", "net/ipv4/./x",
		"net/ipv4/../../kernel/panic", "net/../kernel/panic", "../kernel/panic",
	} {
		_, err := Config{Bridge: Bridge{Name: "br0"}, Sysctls: map[string]string{name: "1"}}.check()
		require.ErrorContains(t, err, "is no sysctl", name)
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":                  "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":                  "net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.100/forwarding":    "net/ipv4/conf/eth0.100/forwarding",
		"net.netfilter.nf_conntrack_tcp_loose": "net/netfilter/nf_conntrack_tcp_loose",
	} {
		require.Equal(t, want, sysctlPath(name))
	}
}

// FuzzConfig: what is accepted survives a round trip, and has no sysctl of the host.
func FuzzConfig(f *testing.F) {
	f.Add(full)
	f.Add(`{"bridge": {"name": "br0"}, "addresses": [{"address": "10.0.0.2/31", "gateway": "10.0.0.3"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := read(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		require.NoError(t, err)
		back, err := read(string(again))
		require.NoError(t, err)
		backAgain, err := json.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, string(again), string(backAgain))
		for name := range c.Sysctls {
			path := sysctlPath(name)
			require.True(t, strings.HasPrefix(path, "net/"))
			require.NotContains(t, "/"+path+"/", "/../")
		}
	})
}
