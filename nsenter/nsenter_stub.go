//go:build !linux || !cgo

package nsenter

// Linked says whether the bootstrap is part of this program: it needs cgo.
const Linked = false

// Worker says that this process is no worker: without the bootstrap there is none.
func Worker() (channel int, spawned, ok bool) { return -1, false, false }
