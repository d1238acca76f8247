package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/species"
)

// discovery has the flags for a discovery.
type discovery struct {
	types string
	full  bool
	input string
}

// newSubcommand completes a command that makes a discovery and writes something of its result.
func newSubcommand(cmd *cobra.Command, write func(io.Writer, *discover.Result) error) *cobra.Command {
	var d discovery
	cmd.Flags().StringVarP(&d.types, "types", "t", "", "only these `TYPES`, such as net,mnt")
	cmd.Flags().BoolVar(&d.full, "full", false, "search everywhere, which takes longer")
	cmd.Flags().StringVarP(&d.input, "input", "i", "", "read the JSON of nsops dump from `FILE`, - for stdin, instead of the machine")
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := d.result(cmd)
		if err != nil {
			return err
		}
		return write(cmd.OutOrStdout(), r)
	}
	return cmd
}

// result returns the result of a discovery, whose problems it writes to stderr, or of a file.
func (d *discovery) result(cmd *cobra.Command) (*discover.Result, error) {
	types, err := species.ParseSet(d.types)
	if err != nil {
		return nil, err
	}
	if d.input != "" {
		r, err := readResult(d.input, cmd.InOrStdin())
		if err == nil && types != 0 {
			r.Namespaces = slices.DeleteFunc(r.Namespaces, func(n *discover.Namespace) bool { return !types.Has(n.Type) })
		}
		return r, err
	}
	opts := discover.Options{Types: types, NoSnapshot: os.Getenv("NSOPS_NO_SNAPSHOT") != ""}
	if d.full {
		opts.Sources = discover.Full
	}
	r, err := discover.Discover(cmd.Context(), opts)
	if err != nil {
		return nil, err
	}
	for _, p := range r.Problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "nsops: not seen:", oneLine(p.String()))
	}
	return r, nil
}
