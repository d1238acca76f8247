//go:build !linux || !cgo

package nsenter

import "os"

// Linked reports whether the bootstrap is part of this program, which requires cgo.
const Linked = false

// Current returns false: without the bootstrap no process is a worker.
func Current() (Worker, bool) { return Worker{}, false }

// Secure returns false: without the bootstrap nobody asks.
func Secure() bool { return false }

// SetID reports whether this program runs set-user-ID or set-group-ID.
func SetID() bool { return os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() }

// Executed returns true: without the bootstrap nobody asks.
func Executed() bool { return true }
