// Command netconf gives a container an interface: see package netconf below. It is for reading: the steps of a CNI
// plugin. It is no CNI plugin, and needs root. The host's side is the network namespace that it runs in.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/examples/netconf/netconf"
	"github.com/nsops/nsops/handle"
)

var (
	pid    = flag.Int("pid", 0, "the target is the network namespace of process `PID`")
	path   = flag.String("path", "", "the target is the network namespace at `FILE`, such as /run/netns/NAME")
	dryRun = flag.Bool("dry-run", false, "print what the configuration on stdin would do, and do nothing")
	show   = flag.Bool("show", false, "print links, addresses and routes of the target")
	remove = flag.Bool("delete", false, "take away what was made for the target")
)

func main() {
	call.HandleReexec() // a worker, in the target's namespaces, ends here
	flag.Parse()
	result, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "netconf:", err)
		os.Exit(1)
	}
	text, _ := json.MarshalIndent(result, "", "  ")
	fmt.Println(string(text))
}

// run returns what is to be printed. The end of the command closes what it opens.
func run() (any, error) {
	place, err := findPlace()
	if err != nil {
		return nil, err
	}
	session, err := netconf.Open(place)
	if err != nil {
		return nil, err
	}
	switch {
	case *show:
		return session.Show()
	case *remove:
		deleted, err := session.Delete()
		return map[string][]string{"deleted": deleted}, err
	}
	var config netconf.Config
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return nil, fmt.Errorf("configuration on stdin: %w", err)
	}
	plan, err := session.Plan(config)
	switch {
	case err != nil:
		return nil, err
	case *dryRun:
		return map[string]any{"target": place.Sandbox, "steps": plan.Steps}, nil
	case len(plan.Steps) == 0:
		fmt.Fprintln(os.Stderr, "netconf: all is as configured, nothing was done")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return plan.Apply(ctx)
}

// findPlace opens the network namespace.
func findPlace() (p netconf.Place, err error) {
	switch {
	case flag.NArg() > 0 || flag.NFlag() > 2 || (*pid != 0) == (*path != ""):
		err = errors.New("either --pid or --path, and at most one of --dry-run, --show, --delete: see netconf --help")
	case *pid != 0:
		p.PID, p.Sandbox = *pid, fmt.Sprintf("/proc/%d/ns/net", *pid)
		p.Target, err = handle.GetFromPid(*pid)
	default:
		p.Sandbox = *path
		p.Target, err = handle.GetFromPath(*path)
	}
	return p, err
}
