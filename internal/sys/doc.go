// Package sys is how the module speaks to the kernel: descriptors with one owner, processes held by pidfds, joining,
// sockets, memfds, child processes, and the features that not every kernel has, with their fallbacks. Its errors are
// errnos or wrap them: callers add operation and object. It is built on package raw; a few functions return numbers, as
// raw does, to callers that open thousands of namespaces, and Own gives these an owner.
package sys
