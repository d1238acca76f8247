// Package procfs parses what the kernel writes into /proc: proc_pid_stat(5) and its neighbours. It reads nothing itself
// and builds on any system.
//
// What a parser returns is a part of the text. Names in there may hold anything but zero bytes: spaces, newlines,
// parentheses, invalid UTF-8. A parser reports what the kernel would not write, and never panics; each is fuzzed.
package procfs
