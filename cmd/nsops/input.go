package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nsops/nsops/discover"
)

// maxInput limits how much JSON is read: it is enough for a machine with a hundred thousand processes, or with as many
// mounts in a few hundred mount namespaces.
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
