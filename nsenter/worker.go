package nsenter

// Worker is a process that the bootstrap has prepared.
type Worker struct {
	Channel  int  // socket to the caller
	Lifeline int  // socket whose other end the caller has, or the parent of a switched process; -1: there is none
	Spawned  bool // false: it was the caller itself, before SwitchToNamespaces
	Foreign  bool // its files, and with them /proc, are the target's
}
