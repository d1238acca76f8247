// Package sys is how the module speaks to the kernel: descriptors with one owner, processes held by pidfds, joining,
// sockets, memfds, child processes, and the features that not every kernel has, with their fallbacks. Its errors are bare
// errnos or wrap them: callers add operation and object.
//
// It is built on package raw, which has the system calls that golang.org/x/sys does not have, or has with an allocation.
// A few functions return numbers as that does, for whoever opens thousands of namespaces; Own makes descriptors with an
// owner of them.
package sys
