package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/nsops/nsops/discover"
)

func newDump() *cobra.Command {
	var d discovery
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Write the whole result of a discovery as JSON",
		Long: `dump writes the whole result to stdout, as JSON that docs/discovery.schema.json describes.
What could not be seen is in the JSON, and is written to stderr, too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := d.result(cmd)
			if err != nil {
				return err
			}
			return writeJSON(cmd.OutOrStdout(), r)
		},
	}
	d.flags(cmd)
	cmd.MarkFlagsMutuallyExclusive("types", "input") // processes refer to namespaces of all types
	return cmd
}

func writeJSON(out io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", " ")
	if err == nil {
		_, err = out.Write(append(escapeJSON(text), '\n'))
	}
	return err
}

// maxInput limits how much JSON is read: enough for a hundred thousand processes, or mounts in hundreds of namespaces.
const maxInput = 256 << 20

var (
	errTooLong  = fmt.Errorf("longer than %d MiB", maxInput>>20)
	errTrailing = errors.New("something follows the JSON")
)

// readResult reads the JSON of nsops dump.
func readResult(name string, stdin io.Reader) (*discover.Result, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(filepath.Clean(name))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	r := &discover.Result{}
	if err := decode(in, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// decode reads one JSON value, and stops at the first byte that is invalid.
func decode(in io.Reader, r *discover.Result) error {
	limited := &io.LimitedReader{R: in, N: maxInput}
	decoder := json.NewDecoder(limited)
	err := decoder.Decode(r)
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			return nil
		}
		err = errTrailing
	}
	if limited.N == 0 {
		return errTooLong
	}
	return err
}
