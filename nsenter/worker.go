package nsenter

// Worker describes a process that the bootstrap has prepared.
type Worker struct {
	Channel  int  // socket to the caller
	Lifeline int  // socket whose other end the caller holds, or the parent of a switched process; -1: there is none
	Spawned  bool // false: SwitchToNamespaces has replaced the caller by it
	Foreign  bool // its root directory, and /proc below it, is the target's
}
