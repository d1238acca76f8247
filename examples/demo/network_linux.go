package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/examples/netconf/netconf"
	"github.com/nsops/nsops/handle"
)

// network is the target's connection to a bridge on the host's side.
type network struct {
	host, target handle.NsHandle
	runDir       string
}

// connect gives the target an interface, all or nothing. The addresses are for documentation (RFC 5737, RFC 3849), so
// nothing on the machine uses them. The caller removes the network.
func connect(ctx context.Context, pid int) (*network, error) {
	n := &network{host: handle.None(), target: handle.None()}
	if err := n.connect(ctx, pid); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *network) connect(ctx context.Context, pid int) (err error) {
	if n.host, err = handle.Get(); err != nil {
		return err
	}
	if err = unix.Setns(int(n.host), unix.CLONE_NEWNET); err != nil { // we are in there: it only asks for the rights
		return fmt.Errorf("CAP_SYS_ADMIN in the user namespace that owns the network here is missing: %w", err)
	}
	if n.target, err = handle.GetFromPid(pid); err != nil {
		return err
	}
	if n.runDir, err = os.MkdirTemp("", "nsops-demo-"); err != nil {
		return err
	}
	_, err = netconf.Apply(ctx, n.place(), netconf.Config{
		Bridge: netconf.Bridge{
			Name:      fmt.Sprintf("demo%d", os.Getpid()),
			Addresses: []string{"203.0.113.1/24", "2001:db8::1/64"},
		},
		Addresses: []netconf.Address{
			{Address: "203.0.113.2/24", Gateway: "203.0.113.1"},
			{Address: "2001:db8::2/64", Gateway: "2001:db8::1"},
		},
	})
	return err
}

// place names the target by an open descriptor: what was made can then be removed even if the target has died.
func (n *network) place() netconf.Place {
	path := fmt.Sprintf("/proc/self/fd/%d", int(n.target))
	return netconf.Place{Host: n.host, Target: netconf.Target{Path: path}, RunDir: n.runDir}
}

// remove takes the interface and the bridge away, also after Ctrl-C.
func (n *network) remove() error {
	_, err := netconf.Delete(context.Background(), n.place())
	return errors.Join(err, n.close())
}

func (n *network) close() error {
	var errs []error
	for _, ns := range []*handle.NsHandle{&n.host, &n.target} {
		if ns.IsOpen() {
			errs = append(errs, ns.Close())
		}
	}
	if n.runDir != "" {
		errs = append(errs, os.RemoveAll(n.runDir))
	}
	return errors.Join(errs...)
}
