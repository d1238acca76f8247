package netconf_test

import (
	"context"
	"fmt"
	"os"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/examples/netconf/netconf"
	"github.com/nsops/nsops/handle"
)

// A program that configures the network of process 4711. It has no output here, where there is no such process.
func Example() {
	call.HandleReexec() // first thing in main: it is what name servers and sysctls are set with
	host, err := handle.Get()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer func() { _ = host.Close() }()
	place := netconf.Place{Host: host, Target: netconf.Target{PID: 4711}}
	result, err := netconf.Apply(context.Background(), place, netconf.Config{
		Bridge:    netconf.Bridge{Name: "br0", Addresses: []string{"10.88.0.1/24"}},
		Addresses: []netconf.Address{{Address: "10.88.0.2/24", Gateway: "10.88.0.1"}},
		DNS:       netconf.DNS{Nameservers: []string{"10.88.0.1"}},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // all that was made is undone
		return
	}
	fmt.Println(result.Interfaces[2].MAC)
}
