// Package procfs parses what the kernel writes into /proc: proc_pid_stat(5) and its neighbours. It reads nothing itself
// and builds on any system.
//
// A text parsed is a part of the buffer that was given. Names in there may hold anything but zero bytes: spaces,
// newlines, parentheses, invalid UTF-8. A parser that meets what the kernel would not write says so and never panics;
// each is fuzzed.
package procfs
