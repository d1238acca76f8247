//go:build !linux || !cgo

package nsenter

import "os"

// Linked says whether the bootstrap is part of this program: it needs cgo.
const Linked = false

// Current says that this process is no worker: without the bootstrap there is none.
func Current() (Worker, bool) { return Worker{}, false }

// Secure is of no interest without the bootstrap.
func Secure() bool { return false }

// SetID says whether this program runs set-user-ID or set-group-ID.
func SetID() bool { return os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() }

// Executed is of no interest without the bootstrap.
func Executed() bool { return true }
