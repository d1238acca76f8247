package netconf

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
)

func TestApply(t *testing.T) {
	testutil.NeedRoot(t)
	testApply(t)
}

func TestApplyUnprivileged(t *testing.T) {
	testutil.InUserns(t, testApply)
}

func testApply(t *testing.T) {
	testutil.CheckLeaks(t)
	target := newNetns(t)
	p := newPlace(t, target)
	before := listing(t, p)

	steps, err := plan(t, p, simple())
	require.NoError(t, err)
	require.Len(t, steps, 14)
	require.Equal(t, before, listing(t, p), "a plan changes nothing")

	result, err := apply(t, p, simple())
	require.NoError(t, err)
	require.True(t, result.changed)
	after := listing(t, p)
	require.NotEqual(t, before, after)
	ping(t, p.Host, "10.88.0.2")
	ping(t, p.Host, "fd00:88::2")
	ping(t, target, "10.88.0.1")
	ping(t, target, "fd00:88::1")

	again, err := apply(t, p, simple())
	require.NoError(t, err)
	require.False(t, again.changed)
	require.Equal(t, result.Result, again.Result)
	steps, err = plan(t, p, simple())
	require.NoError(t, err)
	require.Empty(t, steps)
	require.Contains(t, listing(t, p), "10.88.0.2/24")

	deleted, err := remove(t, p)
	require.NoError(t, err)
	require.Equal(t, []string{result.Interfaces[1].Name, "br0"}, deleted)
	ip(t, target, "link", "set", "lo", "down") // which it does not know to have been down
	ip(t, target, "address", "del", "127.0.0.1/8", "dev", "lo")
	require.Equal(t, before, listing(t, p))
	deleted, err = remove(t, p)
	require.NoError(t, err)
	require.Empty(t, deleted)
}

func TestResult(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	c := Config{Interface: "net1", Bridge: Bridge{Name: "br0"}, Addresses: []Address{{Address: netip.MustParsePrefix("10.88.0.2/24")}}}
	result, err := apply(t, p, c)
	require.NoError(t, err)
	bridge, host, peer := result.Interfaces[0], result.Interfaces[1], result.Interfaces[2]
	require.Equal(t, Interface{Name: "net1", MAC: peer.MAC, MTU: 1500, Sandbox: p.Sandbox}, peer)
	text, err := json.Marshal(result)
	require.NoError(t, err)
	require.JSONEq(t, `{"cniVersion": "1.1.0", "interfaces": [
		{"name": "br0", "mac": "`+bridge.MAC+`"}, {"name": "`+host.Name+`", "mac": "`+host.MAC+`"},
		{"name": "net1", "mac": "`+peer.MAC+`", "mtu": 1500, "sandbox": "`+p.Sandbox+`"}],
		"ips": [{"interface": 2, "address": "10.88.0.2/24"}]}`, string(text))
	for _, link := range []Interface{bridge, host} {
		require.Contains(t, ip(t, p.Host, "link", "show", link.Name), link.MAC)
	}
	state, err := show(t, p)
	require.NoError(t, err)
	require.Equal(t, []string{"lo", "net1"}, []string{state.Interfaces[0].Name, state.Interfaces[1].Name})
	require.Equal(t, peer.MAC, state.Interfaces[1].MAC)
	require.Contains(t, state.IPs, IP{1, Address{Address: netip.MustParsePrefix("10.88.0.2/24")}})
	require.Equal(t, []Route{{Dst: netip.MustParsePrefix("10.88.0.0/24")}}, state.Routes[:1])
}

// TestOtherBridge: a bridge that was there stays as it is.
func TestOtherBridge(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	ip(t, p.Host, "link", "add", "br0", "type", "bridge")
	_, err := apply(t, p, simple())
	require.ErrorContains(t, err, "br0 is no bridge that is up")
	ip(t, p.Host, "link", "set", "br0", "up")
	_, err = apply(t, p, simple())
	require.NoError(t, err)
	require.NotContains(t, ip(t, p.Host, "address", "show", "br0"), "10.88.0.1")
	deleted, err := remove(t, p)
	require.NoError(t, err)
	require.Len(t, deleted, 1)
	ip(t, p.Host, "link", "show", "br0")
}

// TestSharedBridge: the last one deletes the bridge.
func TestSharedBridge(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	q := p
	q.Target = newNetns(t)
	c := simple()
	_, err := apply(t, p, c)
	require.NoError(t, err)
	c.Addresses, c.MAC = []Address{addressOf("10.88.0.3/24", "10.88.0.1")}, ""
	_, err = apply(t, q, c)
	require.NoError(t, err)
	ping(t, p.Host, "10.88.0.3")
	deleted, err := remove(t, p)
	require.NoError(t, err)
	require.Len(t, deleted, 1)
	ping(t, q.Host, "10.88.0.3")
	deleted, err = remove(t, q)
	require.NoError(t, err)
	require.Len(t, deleted, 2)
}

// TestDiffers changes one thing after the other behind the back of Apply, which finds it and leaves it.
func TestDiffers(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, target)
	result, err := apply(t, p, simple())
	require.NoError(t, err)
	host := result.Interfaces[1].Name
	for _, c := range []struct {
		change, back []string
		inside       bool
		want         string
	}{
		{[]string{"link", "set", "eth0", "mtu", "1400"}, []string{"link", "set", "eth0", "mtu", "1450"}, true, "create the pair of "},
		{[]string{"link", "set", "lo", "down"}, []string{"link", "set", "lo", "up"}, true, "set lo up"},
		{[]string{"address", "del", "10.88.0.2/24", "dev", "eth0"}, []string{"address", "add", "10.88.0.2/24", "dev", "eth0"}, true, "add address 10.88.0.2/24 to eth0"},
		{[]string{"link", "set", host, "nomaster"}, []string{"link", "set", host, "master", "br0"}, false, "attach " + host + " to bridge br0"},
		{[]string{"link", "set", host, "down"}, []string{"link", "set", host, "up"}, false, "set " + host + " up"},
		{[]string{"link", "set", host, "mtu", "1400"}, []string{"link", "set", host, "mtu", "1450"}, false, "mtu 1450"},
	} {
		ns := p.Host
		if c.inside {
			ns = target
		}
		ip(t, ns, c.change...)
		_, err := apply(t, p, simple())
		require.ErrorIs(t, err, ErrDiffers)
		require.ErrorContains(t, err, "eth0 lacks [")
		require.ErrorContains(t, err, c.want)
		ip(t, ns, c.back...)
	}
	_, err = apply(t, p, simple())
	require.ErrorContains(t, err, `lacks ["add default route to 10.88.0.1"]`, "which went with the address")
	ip(t, target, "route", "add", "default", "via", "10.88.0.1")
	ip(t, target, "route", "replace", "default", "via", "fd00:88::1", "dev", "eth0")
	result, err = apply(t, p, simple())
	require.NoError(t, err)
	require.False(t, result.changed)

	ip(t, target, "link", "set", "eth0", "down")
	ip(t, target, "link", "set", "eth0", "name", "moved")
	_, err = apply(t, p, simple())
	require.ErrorContains(t, err, "eth0 does not lead from br0 to the target")
}

// TestForeign: what is in the way and not ours is left alone.
func TestForeign(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, target)
	host := hostNameOf(t, p)
	for _, c := range []struct {
		name string
		ns   handle.NsHandle
		add  []string
		want string
	}{
		{"eth0", target, []string{"link", "add", "eth0", "type", "ifb"}, "eth0 in the target, was not made by this program"},
		{host, p.Host, []string{"link", "add", host, "type", "veth", "peer", "name", "x"}, host + " on the host's side, or eth0 in the target, was not made"},
		{"br0", p.Host, []string{"link", "add", "br0", "type", "ifb"}, "br0 is no bridge that is up"},
	} {
		ip(t, c.ns, c.add...)
		before := listing(t, p)
		_, err := apply(t, p, simple())
		require.ErrorContains(t, err, c.want)
		deleted, err := remove(t, p)
		require.NoError(t, err)
		require.Empty(t, deleted)
		require.Equal(t, before, listing(t, p))
		ip(t, c.ns, "link", "del", c.name)
	}
}

func hostNameOf(t *testing.T, p place) string {
	t.Helper()
	name, err := within(t, p, func(s *Session) (string, error) { return s.hostEnd, nil })
	require.NoError(t, err)
	return name
}

func TestNeedsPID(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	before := listing(t, p)
	_, err := apply(t, p, withFiles())
	require.ErrorContains(t, err, "dns needs the PID")
	require.Equal(t, before, listing(t, p))
}

// TestSysctlsByPath need no process. Delete leaves them.
func TestSysctlsByPath(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	c := withFiles()
	c.DNS = DNS{}
	c.Sysctls["net.ipv4.ip_local_reserved_ports"] = "8080,9148"
	_, err := apply(t, p, c)
	require.NoError(t, err)
	require.Contains(t, listing(t, p), "8080,9148")
	_, err = remove(t, p)
	require.NoError(t, err)
	require.Contains(t, listing(t, p), "8080,9148")
	again, err := apply(t, p, c)
	require.NoError(t, err)
	require.True(t, again.changed)
}

func TestContext(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	before := listing(t, p)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fs.ErrClosed)
	err := applyChanged(ctx, t, p, simple(), func(*Plan) {})
	require.ErrorIs(t, err, fs.ErrClosed)
	require.Equal(t, before, listing(t, p))
}
