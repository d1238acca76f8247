// Package raw has system calls in plain numbers: descriptors are ints and errors are syscall.Errno. A discovery makes
// tens of thousands of these calls, and a visit to a namespace takes about a microsecond, so they allocate only what
// they return, have no fallbacks and keep nothing. The caller closes every descriptor; all are close-on-exec. Use
// package sys wherever an allocation does not matter.
//
// A call that can wait for a file system, for a lock or for another process tells the Go scheduler, and is repeated
// when a signal interrupts it. A call that cannot wait does neither, which is faster. Those that can do either exist
// twice: the one whose name ends in NoWait is for the descriptors that its comment names.
package raw
