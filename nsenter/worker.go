package nsenter

import "github.com/nsops/nsops/species"

// Worker is a process that the bootstrap has prepared.
type Worker struct {
	Channel int                   // socket to the caller
	Spawned bool                  // false: it was the caller itself, before SwitchToNamespaces
	Joined  species.NamespaceType // types that differed from the caller's
}
