package netconf

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// State is what a network namespace has.
type State struct {
	Namespace string       `json:"namespace"` // device and inode number
	Links     []LinkState  `json:"links"`     // by index
	Routes    []RouteState `json:"routes"`    // of the main table: IPv4 first, by destination, gateway, interface
}

// LinkState is a link.
type LinkState struct {
	Index     int      `json:"index"`
	Name      string   `json:"name"`
	Type      string   `json:"type"` // such as veth; device for lo
	MAC       string   `json:"mac,omitempty"`
	MTU       int      `json:"mtu"`
	Flags     string   `json:"flags"` // such as up|broadcast|running|multicast; see net.Flags
	Alias     string   `json:"alias,omitempty"`
	Master    int      `json:"master,omitempty"` // index of the bridge or the like
	Addresses []string `json:"addresses"`        // with prefix lengths, sorted
}

// RouteState is a route.
type RouteState struct {
	Dst       string `json:"dst"`
	Gateway   string `json:"gw,omitempty"`
	Interface string `json:"interface,omitempty"`
	Metric    int    `json:"metric,omitempty"`
}

// Show lists links, addresses and routes of the target. It changes nothing and waits for nobody. The error is an
// *Error.
func Show(ctx context.Context, p Place) (*State, error) {
	s, err := p.open(ctx)
	if err == nil {
		defer s.close()
		var state *State
		if state, err = readState(s.inside); err == nil {
			state.Namespace = s.id.String()
			return state, nil
		}
	}
	return nil, &Error{"show", p.Target.String(), err}
}

func readState(s *socket) (*State, error) {
	links, err := listLinks(s)
	if err != nil {
		return nil, err
	}
	addresses, err := listAddresses(s, nil)
	if err != nil {
		return nil, err
	}
	routes, err := listRoutes(s, nil)
	if err != nil {
		return nil, err
	}
	state := &State{Links: []LinkState{}, Routes: []RouteState{}}
	names := map[int]string{}
	for _, link := range links {
		names[link.Attrs().Index] = link.Attrs().Name
		state.Links = append(state.Links, linkState(link, addresses))
	}
	for _, route := range routes {
		state.Routes = append(state.Routes, routeState(route, names[route.LinkIndex]))
	}
	slices.SortFunc(state.Links, func(a, b LinkState) int { return cmp.Compare(a.Index, b.Index) })
	slices.SortFunc(state.Routes, compareRoutes)
	return state, nil
}

func linkState(link netlink.Link, addresses []netlink.Addr) LinkState {
	a := link.Attrs()
	state := LinkState{Index: a.Index, Name: a.Name, Type: link.Type(), MAC: a.HardwareAddr.String(), MTU: a.MTU,
		Flags: a.Flags.String(), Alias: a.Alias, Master: a.MasterIndex, Addresses: []string{}}
	for _, address := range addresses {
		if address.LinkIndex == a.Index {
			state.Addresses = append(state.Addresses, address.IPNet.String())
		}
	}
	slices.Sort(state.Addresses)
	return state
}

func routeState(r netlink.Route, ifname string) RouteState {
	state := RouteState{Dst: "default", Interface: ifname, Metric: r.Priority}
	if r.Dst != nil {
		state.Dst = r.Dst.String()
	}
	if r.Gw != nil {
		state.Gateway = r.Gw.String()
	}
	return state
}

func compareRoutes(a, b RouteState) int {
	return cmp.Or(
		comparePrefixes(a.Dst, b.Dst), cmp.Compare(a.Metric, b.Metric),
		cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Interface, b.Interface),
	)
}

func comparePrefixes(a, b string) int {
	p, _ := netip.ParsePrefix(a)
	q, _ := netip.ParsePrefix(b)
	return cmp.Or(p.Addr().Compare(q.Addr()), cmp.Compare(p.Bits(), q.Bits()), cmp.Compare(a, b))
}
