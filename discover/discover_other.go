//go:build !linux

package discover

import (
	"context"
	"fmt"
)

// Discover is not supported on this system.
func Discover(context.Context, Options) (*Result, error) {
	return nil, &Error{Op: "discover", Err: fmt.Errorf("%w: namespaces are a feature of Linux", ErrNotSupported)}
}

// Rescan is not supported on this system.
func Rescan(ctx context.Context, _ *Result) (*Result, error) { return Discover(ctx, Options{}) }
