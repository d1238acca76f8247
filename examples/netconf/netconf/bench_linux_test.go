package netconf

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
)

// inRow is how many targets are configured one after the other: what has been idle takes half as long again.
const inRow = 10

// BenchmarkConfigure compares, in turn, two ways to give targets the same pair, addresses and routes, with the bridge
// there already: Apply, and twelve ip commands. It times this only, not the making and deleting of the targets, of
// which each round has new ones. Medians are reported, since a mean tells of the other users of the machine:
//
//	go test -run '^$' -bench Configure -benchtime 20x ./examples/netconf/netconf
func BenchmarkConfigure(b *testing.B) {
	testutil.NeedRoot(b)
	host := newNetns(b)
	ip(b, host, "link", "add", "br0", "type", "bridge")
	ip(b, host, "link", "set", "br0", "up")
	p := place{Host: host}
	var apply, commands []time.Duration
	round := func() {
		targets := make([]handle.NsHandle, 2*inRow)
		for i := range targets {
			targets[i] = newNetns(b)
		}
		time.Sleep(50 * time.Millisecond) // the kernel is done with what was before
		for _, target := range targets[:inRow] {
			apply = append(apply, timed(func() { configure(b, p, target) }))
		}
		for i, target := range targets[inRow:] {
			commands = append(commands, timed(func() { twelveCommands(b, host, target, i) }))
		}
		for _, target := range targets[:inRow] {
			p.Target = target
			_, err := remove(b, p)
			require.NoError(b, err)
		}
		for i := range inRow {
			ip(b, host, "link", "del", fmt.Sprintf("v%d", i))
		}
	}
	for range b.N {
		round()
	}
	report(b, "Apply", apply)
	report(b, "twelve-ip", commands)
	b.ReportMetric(0, "ns/op") // of all that together
}

func configure(b *testing.B, p place, target handle.NsHandle) {
	p.Target = target
	_, err := apply(b, p, simple())
	require.NoError(b, err)
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func report(b *testing.B, name string, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1e3, name+"-p50-µs")
	b.ReportMetric(float64(times[0].Nanoseconds())/1e3, name+"-min-µs")
}

// twelveCommands does with ip(8) what scripts do: create, move, rename, configure. They run on threads that are in the
// right namespace already, which is faster than `ip netns exec` and `ip -n`.
func twelveCommands(b *testing.B, host, target handle.NsHandle, i int) {
	vars := strings.NewReplacer("VETH", fmt.Sprintf("v%d", i), "PEER", fmt.Sprintf("p%d", i), "TARGET", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(target)))
	run := func(ns handle.NsHandle, commands ...string) {
		in(b, ns, func() {
			for _, command := range commands {
				output, err := exec.Command("ip", strings.Fields(vars.Replace(command))...).CombinedOutput()
				require.NoError(b, err, "%s: %s", command, output)
			}
		})
	}
	run(host,
		"link add VETH mtu 1450 type veth peer name PEER mtu 1450",
		"link set PEER netns TARGET",
		"link set VETH alias tag",
		"link set VETH master br0",
		"link set VETH up",
	)
	run(target,
		"link set PEER name eth0 address 02:00:00:00:00:02",
		"link set lo up",
		"link set eth0 up",
		"address add 10.88.0.2/24 broadcast + dev eth0",
		"address add fd00:88::2/64 dev eth0 nodad",
		"route add default via 10.88.0.1",
		"route add default via fd00:88::1",
	)
}
