// Package handle opens, asks, pins and switches Linux namespaces of all eight types. It is used like
// github.com/vishvananda/netns, whose names it has with the same meaning, and like the ops package of lxkns.
//
// # Handles, for users of netns
//
// Code written for netns compiles after a change of the import path. An [NsHandle] converts to a netns.NsHandle, which
// is what github.com/vishvananda/netlink takes:
//
//	netlink.NewHandleAt(netns.NsHandle(h))
//
// [Get], [GetFromPid], [NewNamed] and the others are for network namespaces. Of(type) has them for the other types:
//
//	handle.Of(species.CLONE_NEWUTS).GetFromPid(pid)
//
//	type         Set and New                              Visit           Execute, Go     pins
//	net          the thread, until it is set again        yes             yes             /run/netns, those of ip-netns(8)
//	uts, ipc     the thread, until it is set again        yes             yes             /run/nsops/TYPE
//	cgroup       the thread, until it is set again        yes             yes             /run/nsops/TYPE
//	mnt          the thread, never to be unlocked         ErrNeedsThread  yes             /run/nsops/mnt, not shared
//	pid          Set: of the thread's next children;      yes, likewise   yes, likewise   /run/nsops/TYPE
//	             New: ErrNeedsReexec
//	user, time   ErrNeedsReexec                           ErrNeedsReexec  ErrNeedsReexec  /run/nsops/TYPE
//
// A thread cannot join user and time namespaces, and cannot be in another PID namespace than its process. For that, and
// to run code that must not share a process with the rest, see package call: it joins the namespaces of a process,
// and those of references. [Create] makes all eight types, without switching.
//
// # References
//
// A [Relation] is a way to find a namespace: [NamespacePath], [NamespaceFd], [*NamespaceFile] and their typed variants,
// a [ProcessNamespace], and NsHandle. All answer ID, Type, User (the owner), Parent and OwnerUID. [FileHandle] and
// [Portable] can be stored; they find the same namespace again, or return ErrStale.
//
// # Who closes what
//
//	value                                 owns a descriptor     who closes it          if it is lost
//	NamespacePath, FileHandle, Portable   no, opens per use     –                      –
//	ProcessNamespace                      no, its Process       –                      –
//	NamespaceFd                           no                    whoever opened it      nothing
//	NsHandle                              yes; copies share it  the caller, once       it leaks, as an int
//	*NamespaceFile, also of User,         yes                   the caller, once       closed when collected
//	Parent, Create, Open
//	Process, Root                         yes                   the caller             closed when collected
//	Thread                                one per type visited  Unlock                 they leak
//
// Three descriptors are opened when they are first needed, and kept: of the directory /proc, a pidfd of a thread that
// visits network namespaces, and the network namespace that the process is in then, without which coming back there
// takes almost twice as long. They keep no other namespace alive.
//
// # Errors
//
// Every error is an [*Error] for errors.As, keeps its errno, and names the capability or right that is lacking, or says
// that none is and something else refuses. A process that is gone is ESRCH and fs.ErrNotExist. Which capability is
// lacking in which user namespace is in a [*species.CapabilityError], and [MayJoin] tells it before anything is joined.
//
// os.IsNotExist, os.IsExist and os.IsPermission hold only in the functions that netns has, too, such as [GetFromName],
// as they do there. They look for a bare errno in an *fs.PathError, so that is returned then, instead of an *Error.
// They do not hold for [GetFromPid] and [GetFromThread] of a process that is gone, for which netns has ENOENT. Use
// errors.Is(err, fs.ErrNotExist), which holds everywhere, or Of(species.CLONE_NEWNET), whose errors are all *Error.
//
// # Threads
//
//	function                    the thread
//	Get, Set, Setns, New,       the caller's: lock the goroutine to it (runtime.LockOSThread), and after Set of a mount
//	NewNamed, MayJoin           namespace never unlock it. On an error it is where it was.
//	Visit                       the caller's, locked meanwhile and brought back; one that cannot be is left locked
//	                            (ErrTainted). Never the main thread, unless the caller has locked that.
//	LockThread, Thread.Visit    the same, with the way back kept open from visit to visit
//	Go, Execute                 a new one that ends with the function; never the main thread
//	Create, OpenRoot, Serial    a new one, if any. For user and PID namespaces Create starts a child, which never runs.
//	everything else             any
//
// Goroutines that a function starts in a namespace are not in it. Package net, for one, dials in goroutines of its own
// if there are several addresses, and net/http always does. Open the socket in the namespace, and use it anywhere.
//
// # Privileges
//
//	what                                  requires
//	queries of an open namespace          nothing; User and Parent: that it is the caller's own user namespace or below
//	GetFromPid, ProcessNamespace          the right to inspect the process (ptrace(2), PTRACE_MODE_READ_FSCREDS)
//	joining (Set, Visit, Execute, Go)     CAP_SYS_ADMIN over the namespace and in the caller's user namespace
//	joining mnt, OpenRoot                 CAP_SYS_CHROOT too; OpenRoot of a process: the right to inspect it
//	New, Create                           CAP_SYS_ADMIN; Create with a user namespace: nothing
//	NewNamed, Pin, DeleteNamed            CAP_SYS_ADMIN over the mount namespace, and to write to /run
//	GetFromSocket                         CAP_NET_ADMIN over the network namespace
//	FileHandle                            to be in the namespace, or CAP_SYS_ADMIN over it
//
// # Kernels
//
// Linux 5.10 is required. Later ones have more:
//
//	Linux   what                                            before
//	5.14    64-bit IDs of network namespaces                ErrNotSupported
//	6.11    namespaces of a pidfd; translation of PIDs;     /proc; ErrNotSupported for the IDs
//	        64-bit IDs of mount namespaces
//	6.18    64-bit IDs of all, file handles                 ErrNotSupported
//
// # When not to use it
//
// To find namespaces, see package discover. On other systems than Linux there are the functions and types of netns,
// which return ErrNotImplemented.
package handle
