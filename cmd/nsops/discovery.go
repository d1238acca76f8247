package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/species"
)

// discovery is the flags that say what to discover, or to read.
type discovery struct {
	types string
	full  bool
	input string
}

func (d *discovery) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&d.types, "types", "t", "", "only these `TYPES`, such as net,mnt")
	cmd.Flags().BoolVar(&d.full, "full", false, "look everywhere, which takes longer")
	cmd.Flags().StringVarP(&d.input, "input", "i", "", "read the JSON of nsops dump from `FILE`, - for stdin, and look at nothing")
}

// result discovers, or reads a file, and writes the problems to stderr.
func (d *discovery) result(cmd *cobra.Command) (*discover.Result, error) {
	types, err := species.ParseSet(d.types)
	if err != nil {
		return nil, err
	}
	if d.input != "" {
		return d.read(cmd, types)
	}
	opts := discover.Options{Types: types}
	if d.full {
		opts.Sources = discover.Full
	}
	r, err := discover.Discover(cmd.Context(), opts)
	if err != nil {
		return nil, err
	}
	for _, p := range r.Problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "nsops: not seen:", p)
	}
	return r, nil
}

func (d *discovery) read(cmd *cobra.Command, types species.Set) (*discover.Result, error) {
	in := cmd.InOrStdin()
	if d.input != "-" {
		f, err := os.Open(filepath.Clean(d.input))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	r := &discover.Result{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", d.input, err)
	}
	r.Namespaces = chosen(r, types)
	return r, nil
}

// chosen returns the namespaces of these types, all for none.
func chosen(r *discover.Result, types species.Set) []*discover.Namespace {
	if types == 0 {
		return r.Namespaces
	}
	var list []*discover.Namespace
	for t := range types.All() {
		list = append(list, r.OfType(t)...)
	}
	return list
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", " ")
	return encoder.Encode(value)
}
