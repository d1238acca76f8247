package netconf_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"github.com/nsops/nsops/examples/netconf/netconf"
	"github.com/nsops/nsops/handle"
)

// A program that gives an interface to the network namespace that ip netns calls c1. It has no output here, where there
// is no such namespace.
func Example() {
	if err := example(); err != nil {
		fmt.Fprintln(os.Stderr, err) // all that was made is undone
	}
	// Output:
}

func example() error {
	target, err := handle.GetFromName("c1")
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	session, err := netconf.Open(netconf.Place{Target: target, Sandbox: "/run/netns/c1"})
	if err != nil {
		return err
	}
	defer session.Close()
	plan, err := session.Plan(netconf.Config{
		Bridge: netconf.Bridge{Name: "br0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.88.0.1/24")}},
		Addresses: []netconf.Address{
			{Address: netip.MustParsePrefix("10.88.0.2/24"), Gateway: netip.MustParseAddr("10.88.0.1")},
		},
	})
	if err != nil {
		return err
	}
	result, err := plan.Apply(context.Background())
	if err == nil {
		fmt.Println(result.Interfaces[2].MAC)
	}
	return err
}
