// Package call runs a function of this program inside another process's namespaces.
//
// The program starts itself again as a worker: a C constructor (package nsenter) joins the target's namespaces before
// the Go runtime starts, then the registered handler runs there and its result comes back. This is what a thread of a
// Go program cannot do: join user and time namespaces, be in a PID namespace, or change mount namespaces for a whole
// process. A program needs three lines of it:
//
//	func main() {
//		call.RegisterReexec("hostname", hostname, nil) // each handler, in every run of the program
//		call.HandleReexec()                            // before anything else
//		err := call.NewCall("hostname").TargetPid(pid).SpawnInNamespaces(&name)
//
// The API is that of nsfix, so its users change the import path; two things differ. Every run of the program must call
// HandleReexec, and before anything else: one that does so only when it sees a reason, such as an argument, runs its own
// main in place of the handler, which is an error then. And what DropPrivs leaves is less. When a switch of one thread is
// enough, as it is for network namespaces, package handle is far cheaper.
//
// A target is a process or thread: what only a pin or a descriptor holds cannot be joined yet.
//
// # What a worker is
//
//	namespaces    mnt, uts, ipc, net of the target, or those of Call.Namespaces; else those of the calling thread
//	user          root of the user namespace joined, else the caller's effective user; Call.User, or nobody with Call.DropPrivs
//	capabilities  none inheritable or ambient; none that the target lacks with Call.TargetCapabilities, none with Call.DropPrivs
//	groups        none when a user namespace is joined or with Call.User or Call.DropPrivs, else the caller's
//	descriptors   0, 1, 2, and three sockets to the caller, 3, 4 and 5; what the Go runtime opens
//	environment   the caller's, Call.Env, and NSOPS_DEPTH; less of it in a set-user-ID or similar program, see below
//	arguments     os.Args[0] alone
//	root          the target's, also if it has called chroot(2); that of the mount namespace with Call.NamespaceRoot
//	directory     / when a mount namespace or another root is joined, else the caller's
//	session       one of its own without a terminal, and a session keyring of its own
//	GOMAXPROCS    1 at the start unless the environment says otherwise: runtime.GOMAXPROCS or Call.Env gives it more
//	cgroup, seccomp, LSM label, resource limits: the caller's; joining namespaces changes none of them
//
// A user namespace need not map its root, or anybody: then the call fails, unless Call.User names a user that it maps, or
// the caller is an ordinary user whom it maps. A worker is never a UID or GID of the caller that the namespace does not map.
//
// It cannot be traced or inspected by the target's root (it is not dumpable, so /proc/self belongs to the initial root),
// but it can be killed if it is in the target's PID namespace. Whoever has CAP_SYS_PTRACE in the initial user namespace
// can trace everything that it sees, this too: see Call.TargetCapabilities. It dies with the process that called it, and
// its process group does; see docs/privileges.md for what may survive. It is a child of that process, which waits for it: a
// program that reaps children it does not know may take away its exit status, never its result.
//
// # What a handler must not do
//
// In the target's mount namespace every path is the target's. With cgo, functions of package os/user, package net's
// resolver and the C library may load shared libraries from there, with the worker's rights: look up users and hosts
// before the call, or build with the tags osusergo and netgo. The same holds for what packages do in their
// initialisation, which runs after the join. /proc may be forged there. The Go runtime itself reads /proc/self/cgroup and
// /proc/self/mountinfo when it starts, and the C library /proc/self/maps for it (musl does not): a hostile target can
// make that hang, but for StartTimeout. Programs built with -race read more of /proc there, and are for tests only.
//
// # Programs with more rights than their user
//
// A set-user-ID or set-group-ID program, and one with file capabilities, may call. Its worker has the effective rights of
// the thread that calls, and no longer differs from its user: so variables that steer loaders, C libraries, the Go
// runtime, shells and interpreters, such as LD_PRELOAD, GODEBUG and BASH_ENV, are taken out of its environment, unless
// Call.Env sets them. That NSOPS_CHANNEL is set is nothing to such a program. In every other one, HandleReexec ends the
// process with status 125 if it finds that variable where the bootstrap has not run.
//
// # Errors
//
// Each is an *Error with a Stage. errors.Is finds errnos and well-known sentinels even if they come from the handler;
// errors.As finds *RemoteError, *PanicError and *ExitError.
//
// # Privileges and kernels
//
// Root, or CAP_SYS_ADMIN in the user namespaces that own what is joined and CAP_SYS_PTRACE over the target, effective in
// the calling thread; without any privilege, the namespaces of one's own containers together with their user namespace.
// Linux 5.10 or newer with /proc mounted, cgo at build time: ErrNotLinked otherwise, and also in a library of a program
// in another language, and in a program that was started as ld.so PROGRAM. See man 2 setns, man 7 namespaces.
package call
