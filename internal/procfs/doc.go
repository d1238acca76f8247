// Package procfs parses what the kernel writes into /proc, on any system, and reads it on Linux, from directory
// descriptors and into buffers that are used again and again: proc_pid_stat(5) and its neighbours.
//
// A text parsed is a part of the buffer it was read into, valid until the next read. Names in there may hold anything
// but zero bytes: spaces, newlines, parentheses, invalid UTF-8. A parser that meets what the kernel would not write says
// so and never panics; each is fuzzed.
package procfs
