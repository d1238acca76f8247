package netconf

// Result is the outcome of Apply, in the shape of a CNI result of version 1.1.0.
type Result struct {
	CNIVersion string      `json:"cniVersion"`
	Interfaces []Interface `json:"interfaces"` // the bridge, the host end, the target's interface
	IPs        []IP        `json:"ips,omitempty"`
	Routes     []Route     `json:"routes,omitempty"`
	DNS        DNS         `json:"dns,omitzero"`

	Changed bool `json:"-"` // something was made or changed; false if all was there
}

// Interface is a link that takes part.
type Interface struct {
	Name    string `json:"name"`
	MAC     string `json:"mac"`
	MTU     int    `json:"mtu,omitempty"`
	Sandbox string `json:"sandbox,omitempty"` // where the target's namespace was found; "" on the host's side
}

// IP is an address.
type IP struct {
	Interface int    `json:"interface"` // index in Result.Interfaces
	Address   string `json:"address"`
	Gateway   string `json:"gateway,omitempty"`
}

// Route is a route of the target.
type Route struct {
	Dst     string `json:"dst"`
	Gateway string `json:"gw,omitempty"`
}

// inside is the index in Interfaces of the target's.
const inside = 2

// newResult returns the result of a configuration. The links have the names, MACs and MTUs that they have got.
func newResult(c *checked, links [inside + 1]Interface) *Result {
	r := &Result{CNIVersion: "1.1.0", Interfaces: links[:], DNS: c.DNS}
	for _, a := range c.addresses {
		ip := IP{Interface: inside, Address: a.String()}
		if a.gateway.IsValid() {
			ip.Gateway = a.gateway.String()
			r.Routes = append(r.Routes, Route{a.defaultRoute().String(), ip.Gateway})
		}
		r.IPs = append(r.IPs, ip)
	}
	return r
}
