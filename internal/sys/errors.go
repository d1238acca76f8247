package sys

import "errors"

// Sentinels that several packages export under their own name, so that errors.Is holds across them.
var (
	// ErrStale says that a reference no longer leads to what it was made for.
	ErrStale = errors.New("stale reference")
	// ErrNotSupported says that the kernel or the system lacks a feature; the error around it names both.
	ErrNotSupported = errors.New("not supported here")
)
