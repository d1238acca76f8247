// Package nsenter joins namespaces before the Go runtime starts.
//
// A Go program is multithreaded before its first line runs, and the kernel lets only a single-threaded process join
// user and time namespaces (man 2 setns). So the work is done in a C constructor, nsenter.c, that runs when package
// call re-executes the program: it reads one request from an inherited socket, joins, and reports. Without that
// request it does nothing; a set-user-ID or otherwise privileged start ignores the request.
//
// Only package call imports this package; programs have no use for it. Without cgo, and on other systems than Linux,
// it holds nothing but Linked == false, and package call refuses to spawn with ErrNotLinked.
package nsenter
