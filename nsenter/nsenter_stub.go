//go:build !linux || !cgo

package nsenter

// Linked says whether the bootstrap is part of this program: it needs cgo.
const Linked = false

// Current says that this process is no worker: without the bootstrap there is none.
func Current() (Worker, bool) { return Worker{}, false }

// Secure is of no interest without the bootstrap.
func Secure() bool { return false }
