// Command netconf compares the example of that name with what it takes the ip command to give a container the same
// interface: a veth pair, one end a port of a bridge, the other eth0 with MAC, MTU, addresses and default routes. It
// needs root, and does all in network and mount namespaces of its own.
//
//	cd bench && go run ./netconf -n 50
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/examples/netconf/netconf"
	"github.com/nsops/nsops/handle"
)

var config = netconf.Config{
	Bridge: netconf.Bridge{Name: "br0"},
	MAC:    "02:00:00:00:00:02",
	MTU:    1400,
	Addresses: []netconf.Address{
		{Address: netip.MustParsePrefix("10.88.0.2/24"), Gateway: netip.MustParseAddr("10.88.0.1")},
		{Address: netip.MustParsePrefix("fd00:88::2/64"), Gateway: netip.MustParseAddr("fd00:88::1")},
	},
}

// route is a way to configure the network namespace that ip netns calls by that name.
type route struct {
	name      string
	configure func(netns string) error
	took      []time.Duration
}

func main() {
	call.HandleReexec()
	rounds := flag.Int("n", 50, "configurations of each kind")
	private := flag.Bool("private", false, "this process has namespaces of its own already")
	flag.Parse()
	run := startPrivate
	if *private {
		run = func() error { return measure(*rounds) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// startPrivate starts the program again, in namespaces of its own from its first thread on.
func startPrivate() error {
	cmd := exec.Command("/proc/self/exe", append(slices.Clone(os.Args[1:]), "-private")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS}
	return cmd.Run()
}

func measure(rounds int) error {
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("a /run of our own: %w", err)
	}
	if err := ip("link add br0 type bridge", "link set br0 up"); err != nil {
		return err
	}
	routes := []*route{
		{name: "**netconf**", configure: apply},
		{name: "`ip -batch`, twice", configure: batches},
		{name: "12 `ip` commands", configure: func(netns string) error { return ip(commands(netns)...) }},
	}
	if err := interleave(routes, rounds); err != nil {
		return err
	}
	printTable(routes)
	return nil
}

// apply does what the command netconf does.
func apply(netns string) error {
	target, err := handle.GetFromName(netns)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	session, err := netconf.Open(netconf.Place{Target: target})
	if err != nil {
		return err
	}
	defer session.Close()
	plan, err := session.Plan(config)
	if err != nil {
		return err
	}
	_, err = plan.Apply(context.Background())
	return err
}

// interleave configures fresh network namespaces, in another order of the routes in each round.
func interleave(routes []*route, rounds int) error {
	const warmUp = 3
	for round := range warmUp + rounds {
		for _, i := range rand.Perm(len(routes)) {
			took, err := fresh(routes[i].configure)
			if err != nil {
				return fmt.Errorf("%s: %w", routes[i].name, err)
			}
			if round >= warmUp {
				routes[i].took = append(routes[i].took, took)
			}
		}
	}
	return nil
}

// fresh times the configuration of a network namespace that is made for it, and deleted with all its links.
func fresh(configure func(netns string) error) (took time.Duration, err error) {
	const netns = "target"
	if err := ip("netns add " + netns); err != nil {
		return 0, err
	}
	start := time.Now()
	err = configure(netns)
	took = time.Since(start)
	if err == nil {
		err = check(netns)
	}
	if e := ip("-n "+netns+" link del eth0", "netns del "+netns); err == nil {
		err = e
	}
	return took, err
}

func printTable(routes []*route) {
	fmt.Println("| route | p50 µs | p99 µs | ÷ the first |\n|---|--:|--:|--:|")
	for _, r := range routes {
		slices.Sort(r.took)
		fmt.Printf("| %s | %d | %d | %.1f |\n", r.name, percentile(r.took, 50).Microseconds(),
			percentile(r.took, 99).Microseconds(), float64(percentile(r.took, 50))/float64(percentile(routes[0].took, 50)))
	}
}

// percentile returns the smallest value that p percent of the sorted ones do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}
