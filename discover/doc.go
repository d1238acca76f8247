// Package discover finds every namespace of the machine, what holds it, and how it all relates.
//
// [Discover] returns a [Result]: a snapshot without descriptors, safe for concurrent reading. Its namespaces know their
// owners, parents, children, leaders, stray tasks and all else that was found to hold them. [Rescan] does it again, for
// less; [Diff] tells what has changed; a Result goes to JSON and back, so that a privileged program can look and another
// one show. [NewPIDMap] translates PIDs between PID namespaces.
//
// # What it requires
//
// Nothing: without privileges it sees the caller's own processes, and what these hold. CAP_SYS_PTRACE shows those of
// others, CAP_SYS_ADMIN the mount namespaces that no process is in. With CAP_BPF and CAP_PERFMON, since Linux 6.18, it takes
// a third of the time. What could not be seen is in [Result.Problems]; that is no error. docs/discovery.md says how it goes
// about it, where it looks, and what is missing without which privilege or kernel.
//
// # What it does to the machine
//
// It reads. It starts no process, joins mount namespaces on threads that end there only to see what is mounted where no
// process is, and writes nothing. While it is under way it holds descriptors of namespaces, up to half of what the process
// may have; afterwards none, but for two or three BPF iterators, which are kept for the next time, and what calls hold that do
// not return: users can have some about their processes wait (see docs/discovery.md). A context that ends is obeyed at once,
// even while a file does not answer: what was begun then ends by itself.
//
// # When not to use it
//
// To ask one namespace for its owner, use package handle. To wait for namespaces to come and go: a discovery is not one
// instant, and a namespace that exists for less time may not be seen.
package discover
