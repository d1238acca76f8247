// Package sys holds every raw system call of the module: descriptors with one owner, setns(2), pidfds, the ioctls of
// namespace files, sockets, memfds, and the probes that tell which of them a kernel has. It has no policy, and its
// errors are bare errnos or wrap them: callers add operation and object.
package sys
