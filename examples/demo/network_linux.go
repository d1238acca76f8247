package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/examples/netconf/netconf"
	"github.com/nsops/nsops/handle"
)

// network is the target's connection to a bridge on the host's side.
type network struct {
	place netconf.Place
}

// connect gives the target an interface, all or nothing. The addresses are for documentation (RFC 5737, RFC 3849), so
// nothing on the machine uses them. The caller removes the network.
func connect(ctx context.Context, pid int) (*network, error) {
	n := &network{place: netconf.Place{Target: handle.None()}}
	if err := n.connect(ctx, pid); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *network) connect(ctx context.Context, pid int) (err error) {
	host, err := handle.Get()
	if err != nil {
		return err
	}
	defer func() { _ = host.Close() }()
	if err = unix.Setns(int(host), unix.CLONE_NEWNET); err != nil { // we are in there: it only asks for the rights
		return fmt.Errorf("CAP_SYS_ADMIN in the user namespace that owns the network here is missing: %w", err)
	}
	if n.place.Target, err = handle.GetFromPid(pid); err != nil {
		return err
	}
	n.place.Sandbox = fmt.Sprintf("/proc/%d/ns/net", pid)
	session, err := netconf.Open(n.place)
	if err != nil {
		return err
	}
	defer session.Close()
	plan, err := session.Plan(netconf.Config{
		Bridge: netconf.Bridge{
			Name:      fmt.Sprintf("demo%d", os.Getpid()),
			Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24"), netip.MustParsePrefix("2001:db8::1/64")},
		},
		Addresses: []netconf.Address{
			{Address: netip.MustParsePrefix("203.0.113.2/24"), Gateway: netip.MustParseAddr("203.0.113.1")},
			{Address: netip.MustParsePrefix("2001:db8::2/64"), Gateway: netip.MustParseAddr("2001:db8::1")},
		},
	})
	if err != nil {
		return err
	}
	_, err = plan.Apply(ctx)
	return err
}

// remove takes the interface and the bridge away, also after Ctrl-C, and if the target has died.
func (n *network) remove() error {
	session, err := netconf.Open(n.place)
	if err == nil {
		_, err = session.Delete()
		session.Close()
	}
	return errors.Join(err, n.close())
}

func (n *network) close() error {
	if !n.place.Target.IsOpen() {
		return nil
	}
	return n.place.Target.Close()
}
