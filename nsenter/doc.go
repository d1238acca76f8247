// Package nsenter joins namespaces before the Go runtime starts.
//
// A Go program has several threads before its first line runs, and only a process with one thread can join user and
// time namespaces (man 2 setns). So a C constructor does it, nsenter.c, the bootstrap: package call executes the
// program again, and the bootstrap reads one request from an inherited socket, joins, and reports. Without a request it
// does nothing. A program that starts with more rights than its user, such as a set-user-ID one, ignores requests.
//
// Only package call imports this package. Where Linked is false, it returns ErrNotLinked.
package nsenter

// Worker describes a process that the bootstrap has prepared.
type Worker struct {
	Channel  int  // socket to the caller
	Lifeline int  // socket whose other end the caller holds, or the parent of a switched process; -1: there is none
	Spawned  bool // false: SwitchToNamespaces has replaced the caller by it
	Foreign  bool // its root directory, and /proc below it, is the target's
}
