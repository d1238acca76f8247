package netconf

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

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
	p := newPlace(t, pathOf(target))
	before := listing(t, p)

	plan, err := MakePlan(t.Context(), p, simple())
	require.NoError(t, err)
	require.Len(t, plan.Steps, 13)
	require.Equal(t, before, listing(t, p), "a plan changes nothing")
	requireEmpty(t, p.RunDir)

	result, err := apply(t, p, simple())
	require.NoError(t, err)
	require.True(t, result.Changed)
	after := listing(t, p)
	require.NotEqual(t, before, after)
	ping(t, p.Host, "10.88.0.2")
	ping(t, p.Host, "fd00:88::2")
	ping(t, target, "10.88.0.1")
	ping(t, target, "fd00:88::1")

	again, err := apply(t, p, simple())
	require.NoError(t, err)
	require.False(t, again.Changed)
	result.Changed = false
	require.Equal(t, result, again)
	plan, err = MakePlan(t.Context(), p, simple())
	require.NoError(t, err)
	require.Empty(t, plan.Steps)
	require.Contains(t, listing(t, p), "10.88.0.2/24")

	deleted, err := Delete(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, []string{result.Interfaces[1].Name, "br0"}, deleted.Links)
	require.Equal(t, before, listing(t, p))
	deleted, err = Delete(t.Context(), p)
	require.NoError(t, err)
	require.Empty(t, deleted.Links)
	requireEmpty(t, p.RunDir)
}

// requireEmpty says that no records were left in the folder, nor anything else but the locks.
func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		require.Equal(t, "lock", entry.Name())
	}
}

func TestResult(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, pathOf(newNetns(t)))
	c := Config{Interface: "net1", Bridge: Bridge{Name: "br0"}, Addresses: []Address{{"10.88.0.2/24", ""}}}
	result, err := apply(t, p, c)
	require.NoError(t, err)
	bridge, host, peer := result.Interfaces[0], result.Interfaces[1], result.Interfaces[2]
	require.Equal(t, Interface{Name: "net1", MAC: peer.MAC, MTU: 1500, Sandbox: p.Target.Path}, peer)
	text, err := json.Marshal(result)
	require.NoError(t, err)
	require.JSONEq(t, `{"cniVersion": "1.1.0", "interfaces": [
		{"name": "br0", "mac": "`+bridge.MAC+`"}, {"name": "`+host.Name+`", "mac": "`+host.MAC+`"},
		{"name": "net1", "mac": "`+peer.MAC+`", "mtu": 1500, "sandbox": "`+p.Target.Path+`"}],
		"ips": [{"interface": 2, "address": "10.88.0.2/24"}]}`, string(text))
	for _, link := range []Interface{bridge, host} {
		require.Contains(t, ip(t, p.Host, "link", "show", link.Name), link.MAC)
	}
	state, err := Show(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, []string{"lo", "net1"}, []string{state.Links[0].Name, state.Links[1].Name})
	require.Equal(t, peer.MAC, state.Links[1].MAC)
	require.Contains(t, state.Links[1].Addresses, "10.88.0.2/24")
	require.Equal(t, []RouteState{{"10.88.0.0/24", "", "net1", 0}}, state.Routes[:1])
}

func TestCompareRoutes(t *testing.T) {
	sorted := []RouteState{
		{"0.0.0.0/0", "10.0.0.1", "a", 0}, {"0.0.0.0/0", "10.0.0.1", "b", 0}, {"0.0.0.0/0", "10.0.0.2", "a", 0}, {"0.0.0.0/0", "10.0.0.1", "a", 9},
		{"9.0.0.0/24", "", "a", 0}, {"10.0.0.0/8", "", "a", 0}, {"10.0.0.0/24", "", "a", 0}, {"::/0", "", "a", 0},
	}
	routes := slices.Clone(sorted)
	slices.Reverse(routes)
	slices.SortFunc(routes, compareRoutes)
	require.Equal(t, sorted, routes)
}

// TestOtherBridge: a bridge that was there stays as it is.
func TestOtherBridge(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, pathOf(newNetns(t)))
	ip(t, p.Host, "link", "add", "br0", "type", "bridge")
	_, err := apply(t, p, simple())
	require.ErrorContains(t, err, "bridge br0 is down")
	ip(t, p.Host, "link", "set", "br0", "up")
	_, err = apply(t, p, simple())
	require.NoError(t, err)
	require.NotContains(t, ip(t, p.Host, "address", "show", "br0"), "10.88.0.1")
	deleted, err := Delete(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, deleted.Links, 1)
	ip(t, p.Host, "link", "show", "br0")
}

// TestSharedBridge: the last one deletes the bridge.
func TestSharedBridge(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, pathOf(newNetns(t)))
	q := p
	q.Target = pathOf(newNetns(t))
	c := simple()
	_, err := apply(t, p, c)
	require.NoError(t, err)
	c.Addresses, c.MAC = []Address{{"10.88.0.3/24", "10.88.0.1"}}, ""
	_, err = apply(t, q, c)
	require.NoError(t, err)
	ping(t, p.Host, "10.88.0.3")
	deleted, err := Delete(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, deleted.Links, 1)
	ping(t, q.Host, "10.88.0.3")
	deleted, err = Delete(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, deleted.Links, 2)
}

// TestDiffers changes one thing after the other behind the back of Apply, which finds it and leaves it.
func TestDiffers(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, pathOf(target))
	result, err := apply(t, p, simple())
	require.NoError(t, err)
	host := result.Interfaces[1].Name
	for _, c := range []struct {
		change, back []string
		inside       bool
		want         string
	}{
		{[]string{"link", "set", "eth0", "mtu", "1400"}, []string{"link", "set", "eth0", "mtu", "1450"}, true, "mtu is 1400, not 1450"},
		{[]string{"link", "set", "lo", "down"}, []string{"link", "set", "lo", "up"}, true, "lo is down"},
		{[]string{"address", "del", "10.88.0.2/24", "dev", "eth0"}, []string{"address", "add", "10.88.0.2/24", "dev", "eth0"}, true, "lacks address 10.88.0.2/24"},
		{[]string{"link", "set", host, "nomaster"}, []string{"link", "set", host, "master", "br0"}, false, host + " is no port of br0"},
		{[]string{"link", "set", host, "down"}, []string{"link", "set", host, "up"}, false, host + " is down"},
		{[]string{"link", "set", host, "mtu", "1400"}, []string{"link", "set", host, "mtu", "1450"}, false, "mtu of " + host + " is 1400"},
	} {
		ns := p.Host
		if c.inside {
			ns = target
		}
		ip(t, ns, c.change...)
		_, err := apply(t, p, simple())
		require.ErrorIs(t, err, ErrDiffers)
		require.ErrorContains(t, err, "eth0 is not as configured: ")
		require.ErrorContains(t, err, c.want)
		ip(t, ns, c.back...)
	}
	_, err = apply(t, p, simple())
	require.ErrorContains(t, err, "lacks the default route to 10.88.0.1", "which went with the address")
	ip(t, target, "route", "add", "default", "via", "10.88.0.1")
	ip(t, target, "route", "replace", "default", "via", "fd00:88::1", "dev", "eth0")
	result, err = apply(t, p, simple())
	require.NoError(t, err)
	require.False(t, result.Changed)

	ip(t, target, "link", "set", "eth0", "down")
	ip(t, target, "link", "set", "eth0", "name", "moved")
	_, err = apply(t, p, simple())
	require.ErrorContains(t, err, "it is not in the target")
}

// TestForeign: what is in the way and not ours is left alone.
func TestForeign(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, pathOf(target))
	host := hostNameOf(t, p)
	for _, c := range []struct {
		name string
		ns   Place
		add  []string
		want string
	}{
		{"eth0", Place{Host: target}, []string{"link", "add", "eth0", "type", "ifb"}, "eth0 in the target: "},
		{host, p, []string{"link", "add", host, "type", "veth", "peer", "name", "x"}, host + " on the host's side: "},
		{"br0", p, []string{"link", "add", "br0", "type", "ifb"}, "br0 is a ifb, not a bridge: "},
	} {
		ip(t, c.ns.Host, c.add...)
		before := listing(t, p)
		_, err := apply(t, p, simple())
		require.ErrorIs(t, err, ErrForeign)
		require.ErrorContains(t, err, c.want)
		deleted, err := Delete(t.Context(), p)
		require.NoError(t, err)
		require.Empty(t, deleted.Links)
		require.Equal(t, before, listing(t, p))
		ip(t, c.ns.Host, "link", "del", c.name)
	}
}

func hostNameOf(t *testing.T, p Place) string {
	t.Helper()
	s, err := p.open(t.Context())
	require.NoError(t, err)
	defer s.close()
	return s.hostName("eth0")
}

func TestNeedsPID(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, pathOf(newNetns(t)))
	before := listing(t, p)
	for _, f := range []func() error{
		func() error { _, err := Apply(t.Context(), p, withFiles()); return err },
		func() error { _, err := MakePlan(t.Context(), p, withFiles()); return err },
	} {
		require.ErrorIs(t, f(), ErrNeedsPID)
	}
	require.Equal(t, before, listing(t, p))
}

func TestContext(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, pathOf(newNetns(t)))
	before := listing(t, p)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fs.ErrClosed)
	_, err := Apply(ctx, p, simple())
	require.ErrorIs(t, err, fs.ErrClosed)
	require.Equal(t, before, listing(t, p))
}
