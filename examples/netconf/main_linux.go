// Command netconf gives a container an interface: see package netconf below, which does it.
//
// It is for reading: the commented steps of a CNI plugin. It is no CNI plugin, and needs root.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/examples/netconf/netconf"
	"github.com/nsops/nsops/handle"
)

const usage = `usage: netconf --pid PID | --path FILE | --name NAME  [--config FILE] [--dry-run]
       netconf --pid PID | --path FILE | --name NAME  --show | --delete

Gives a network namespace an interface, as the JSON configuration on stdin or in
FILE says. Prints JSON on stdout, what went wrong on stderr; exit status 1 then.
`

func main() {
	call.HandleReexec() // a worker, in the target's namespaces, ends here
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "netconf:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	place                  netconf.Place
	config                 string
	dryRun, show, deletion bool
	timeout                time.Duration
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("netconf", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage, "\n")
		f.PrintDefaults()
	}
	f.IntVar(&o.place.Target.PID, "pid", 0, "the target is the network namespace of process `PID`")
	f.StringVar(&o.place.Target.Path, "path", "", "the target is the network namespace at `FILE`")
	f.StringVar(&o.place.Target.Name, "name", "", "the target is the network namespace that ip netns calls `NAME`")
	f.StringVar(&o.config, "config", "-", "configuration `FILE`, - for stdin")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and do nothing")
	f.BoolVar(&o.show, "show", false, "print links, addresses and routes of the target")
	f.BoolVar(&o.deletion, "delete", false, "take away what was made for the target")
	f.StringVar(&o.place.RunDir, "run-dir", netconf.DefaultRunDir, "`FOLDER` of locks and records")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "give up, and undo what was made, after that `TIME`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("what is %q? See netconf --help", f.Arg(0))
	}
	return o, o.check()
}

// check refuses what would otherwise be found out after stdin was read.
func (o options) check() error {
	t := o.place.Target
	switch {
	case count(t.PID != 0, t.Path != "", t.Name != "") != 1:
		return errors.New("exactly one of --pid, --path, --name is needed")
	case count(o.dryRun, o.show, o.deletion) > 1:
		return errors.New("only one of --dry-run, --show, --delete")
	}
	return nil
}

func count(conditions ...bool) (n int) {
	for _, is := range conditions {
		if is {
			n++
		}
	}
	return n
}

// run does what the command line says. The host's side is the network namespace that the command runs in.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done within %v", o.timeout))
	defer cancel()
	if o.place.Host, err = handle.Get(); err != nil {
		return err
	}
	defer func() { _ = o.place.Host.Close() }()
	result, err := o.do(ctx, stdin, stderr)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

// do returns what is to be printed.
func (o options) do(ctx context.Context, stdin io.Reader, stderr io.Writer) (any, error) {
	switch {
	case o.show:
		return netconf.Show(ctx, o.place)
	case o.deletion:
		return netconf.Delete(ctx, o.place)
	}
	config, err := o.readConfig(stdin)
	if err != nil {
		return nil, err
	}
	if o.dryRun {
		return netconf.MakePlan(ctx, o.place, config)
	}
	result, err := netconf.Apply(ctx, o.place, config)
	if err == nil && !result.Changed {
		fmt.Fprintln(stderr, "netconf: all is as configured, nothing was done")
	}
	return result, err
}

func (o options) readConfig(stdin io.Reader) (netconf.Config, error) {
	if o.config == "-" {
		return netconf.ReadConfig(stdin)
	}
	file, err := os.Open(o.config)
	if err != nil {
		return netconf.Config{}, err
	}
	defer func() { _ = file.Close() }()
	return netconf.ReadConfig(file)
}
