// Package call runs a function of this program inside another process's namespaces.
//
// The program starts itself again as a worker: a C constructor (package nsenter) joins the target's namespaces before
// the Go runtime starts, then the function runs there, and the caller gets its result. A thread of a Go program cannot do
// that: join user and time namespaces, be in another PID namespace, or change the mount namespace of a whole process.
//
//	var hostname = call.NewFunc("hostname", func(context.Context, struct{}) (string, error) { return os.Hostname() })
//
//	func main() {
//		call.HandleReexec() // before anything else
//		name, err := hostname.In(call.PID(pid)).Do(ctx, struct{}{})
//
// A target is a process, a container, or references to namespaces: see PID, Process, Pidfd, Container, Refs and With.
//
// Every run of the program must call HandleReexec, before anything else: a worker that does not, because a condition
// such as an argument is missing, runs main instead of the function, and the call returns an error. Where it is enough to
// switch one thread, as for network namespaces, InThread is far cheaper; see also package handle.
//
// # The API of nsfix
//
// RegisterReexec, NewCall and the methods of Call are another way to the same: names instead of variables, and JSON into
// pointers. Its users change the import path; DropPrivs drops more, and HandleReexec must be called in every run. Its
// defaults are those of nsfix: without TargetPid the target is PID 1, and a handler runs on the host if the target is
// there, unless MustDiffer forbids that.
//
// # What a worker is
//
//	namespaces    mnt, uts, ipc, net of the target, or those of Call.Namespaces; the others are the calling thread's
//	user          root of the joined user namespace, else the caller's effective user; see Call.User, Call.DropPrivs
//	capabilities  none inheritable or ambient; none that the target lacks with Call.TargetCapabilities, none with Call.DropPrivs
//	groups        none with a joined user namespace, Call.User or Call.DropPrivs, else the caller's
//	descriptors   0, 1, 2; 3, 4 and 5, sockets to the caller; those that the Go runtime opens
//	environment   the caller's, Call.Env, and NSOPS_DEPTH; less of it in a set-user-ID or similar program, see below
//	arguments     os.Args[0] alone
//	root          the target's, also if it has called chroot(2); that of the mount namespace with Call.NamespaceRoot
//	directory     / when a mount namespace or another root is joined, else the caller's
//	session       a new one without a terminal, and a new session keyring
//	GOMAXPROCS    1 at the start, unless the environment or Call.Env sets it; runtime.GOMAXPROCS changes it
//	cgroup, seccomp filter, security label, resource limits: the caller's; joining namespaces changes none of them
//
// If a user namespace does not map its root, the call fails, unless Call.User names a user whom it maps, or the caller
// is an ordinary user whom it maps. A worker never keeps a UID or GID of the caller that the namespace does not map.
//
// The target's root cannot trace or inspect the worker: it is not dumpable, so its files in /proc belong to the initial
// root. But if it is in the target's PID namespace, the target's root can kill it. A process with CAP_SYS_PTRACE in the
// caller's user namespace can trace it if it sees it, see Call.TargetCapabilities. The worker and its process group are
// killed when the caller ends; docs/privileges.md says what may survive. The worker is a child of the caller, which
// waits for it: a program that reaps unknown children may lose its exit status, but never its result.
//
// # What a handler must not do
//
// In the target's mount namespace every path is the target's. With cgo, functions of package os/user, the resolver of
// package net and the C library may load shared libraries from there, with the worker's rights: look up users and hosts
// before the call, or build with the tags osusergo and netgo. This includes the initialisation of packages, which runs
// after the join. The target may have a forged /proc. The Go runtime reads /proc/self/cgroup and /proc/self/mountinfo
// when it starts, and glibc reads /proc/self/maps: a hostile target can make that hang, for at most StartTimeout.
// Programs built with -race read more of /proc; use them for tests only.
//
// # Programs with more rights than their user
//
// A set-user-ID or set-group-ID program, and one with file capabilities, may call. Its worker has the effective rights
// of the calling thread, and its real IDs are the effective ones. So the kernel does not protect it from its
// environment: variables that control loaders, C libraries, the Go runtime, shells and interpreters, such as
// LD_PRELOAD, GODEBUG and BASH_ENV, are removed, unless Call.Env sets them. Such a program ignores NSOPS_CHANNEL; any
// other is ended by HandleReexec, with status 125, if that variable is set and the bootstrap has not run.
//
// # Errors
//
// Every error is an *Error with a Stage. errors.Is finds errnos and well-known sentinels, also those of the handler;
// errors.As finds *RemoteError, *PanicError and *ExitError.
//
// # Privileges and kernels
//
// A call requires root, or effective in the calling thread CAP_SYS_ADMIN in the user namespaces that own the namespaces
// to be joined and CAP_SYS_PTRACE over the target. Users without capabilities can join the namespaces of their own
// containers together with their user namespace. A call requires Linux 5.10 with /proc mounted, and cgo at build time.
// It returns ErrNotLinked without cgo, in a library of a program in another language, and in a program started as ld.so
// PROGRAM. See man 2 setns, man 7 namespaces, docs/privileges.md.
package call
