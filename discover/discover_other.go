//go:build !linux

package discover

import (
	"context"
	"errors"
	"fmt"
)

// Discover is not supported on this system.
func Discover(context.Context, Options) (*Result, error) {
	return nil, &Error{Op: "discover", Err: fmt.Errorf("%w: %w", ErrNotSupported, errSystem)}
}

// Rescan is not supported on this system.
func Rescan(ctx context.Context, _ *Result) (*Result, error) { return Discover(ctx, Options{}) }

var errSystem = errors.New("namespaces are a feature of Linux")
