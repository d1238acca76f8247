// Package scan finds the facts of a discovery: what there is of namespaces, and what holds them or leads to them. [Run]
// reads top to bottom as its phases, and each phase has a file. Package discover relates the facts.
//
// A worker asks the kernel about processes that others control, so each call that may not end is watched by the scan (see
// caller), and given up with its goroutine.
package scan
