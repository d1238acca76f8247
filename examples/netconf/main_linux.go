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
	"time"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/examples/netconf/netconf"
	"github.com/nsops/nsops/handle"
)

const usage = `usage: netconf --pid PID | --path FILE | --name NAME  [--dry-run | --show | --delete]

Gives a network namespace an interface, as the JSON configuration on stdin says.
Prints JSON on stdout, what went wrong on stderr; exit status 1 then.

`

func main() {
	call.HandleReexec() // a worker, in the target's namespaces, ends here
	var o options
	err := o.parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	var result any
	if err == nil {
		result, err = o.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "netconf:", err)
		os.Exit(1)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(result)
}

// options are what the command line says.
type options struct {
	netconf.Place
	name, config         string
	dryRun, show, remove bool
	timeout              time.Duration
}

func (o *options) parse(args []string) error {
	f := flag.NewFlagSet("netconf", flag.ContinueOnError)
	f.IntVar(&o.PID, "pid", 0, "the target is the network namespace of process `PID`")
	f.StringVar(&o.Sandbox, "path", "", "the target is the network namespace at `FILE`")
	f.StringVar(&o.name, "name", "", "the target is the network namespace that ip netns calls `NAME`")
	f.StringVar(&o.config, "config", "/dev/stdin", "configuration `FILE`")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and do nothing")
	f.BoolVar(&o.show, "show", false, "print links, addresses and routes of the target")
	f.BoolVar(&o.remove, "delete", false, "take away what was made for the target")
	f.StringVar(&o.Lock, "lock", netconf.DefaultLock, "`FILE` to lock")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "give up, and undo what was made, after that `TIME`")
	f.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		f.PrintDefaults()
	}
	count := func(conditions ...bool) (n int) {
		for _, is := range conditions {
			if is {
				n++
			}
		}
		return n
	}
	err := f.Parse(args)
	switch {
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("what is %q? See netconf --help", f.Arg(0))
	case count(o.PID != 0, o.Sandbox != "", o.name != "") != 1:
		err = errors.New("exactly one of --pid, --path, --name is needed")
	case count(o.dryRun, o.show, o.remove) > 1:
		err = errors.New("only one of --dry-run, --show, --delete")
	}
	return err
}

// run returns what is to be printed. The end of the command closes what it opens.
func (o *options) run() (any, error) {
	var c netconf.Config
	if !o.show && !o.remove {
		file, err := os.Open(o.config)
		if err != nil {
			return nil, err
		}
		if c, err = netconf.ReadConfig(file); err != nil {
			return nil, err
		}
	}
	if err := o.open(); err != nil {
		return nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done within %v", o.timeout))
	defer cancel()
	session, err := netconf.Open(ctx, o.Place)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	switch {
	case o.show:
		return session.Show()
	case o.remove:
		deleted, err := session.Delete()
		return map[string][]string{"deleted": deleted}, err
	}
	plan, err := session.Plan(c)
	switch {
	case err != nil:
		return nil, err
	case o.dryRun:
		return map[string]any{"target": o.Sandbox, "steps": plan.Steps()}, nil
	case len(plan.Steps()) == 0:
		fmt.Fprintln(os.Stderr, "netconf: all is as configured, nothing was done")
	}
	return plan.Apply()
}

// open opens the namespaces. The host's side is the one that the command runs in.
func (o *options) open() (err error) {
	switch {
	case o.PID != 0:
		o.Sandbox = fmt.Sprintf("/proc/%d/ns/net", o.PID)
		o.Target, err = handle.GetFromPid(o.PID)
	case o.name != "":
		o.Sandbox = "/run/netns/" + o.name
		o.Target, err = handle.GetFromName(o.name)
	default:
		o.Target, err = handle.GetFromPath(o.Sandbox)
	}
	if err == nil {
		o.Host, err = handle.Get()
	}
	return err
}
