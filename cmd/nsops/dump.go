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
	cmd := newSubcommand(&cobra.Command{
		Use:   "dump",
		Short: "Write the whole result of a discovery as JSON",
		Long: `dump writes the whole result to stdout, as JSON that docs/discovery.schema.json describes.
What could not be seen is in the JSON, and is written to stderr, too.`,
	}, func(out io.Writer, r *discover.Result) error { return writeJSON(out, r) })
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

// readResult reads the JSON of nsops dump, and stops at the first byte that is invalid.
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
	limited := &io.LimitedReader{R: in, N: maxInput}
	decoder := json.NewDecoder(limited)
	r := &discover.Result{}
	err := decoder.Decode(r)
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			return r, nil
		}
		err = errTrailing
	}
	if limited.N == 0 {
		err = errTooLong
	}
	return nil, fmt.Errorf("%s: %w", name, err)
}
