package species

// The inode numbers of the initial namespaces are consecutive, just below those
// of other namespaces (0xF0000000 and up): enum init_ns_ino in linux/nsfs.h.
const (
	firstInitialInode = 0xEFFFFFF8
	lastInitialInode  = 0xEFFFFFFF
)

// InitialInode returns the inode number of the initial namespace of a type,
// which exists from boot, and 0 for a value that is not a single type.
//
//	mnt  4026531832   cgroup 4026531835   user 4026531837   ipc 4026531839
//	net  4026531833   pid    4026531836   uts  4026531838
//	time 4026531834
//
// The numbers of pid, user, uts and ipc are fixed since Linux 3.8, those of
// cgroup and time since these types exist (Linux 4.6 and 5.6), those of mnt and
// net since Linux 6.17. Before, the initial mount and network namespaces get a
// number at boot, like any other namespace: compare with a process known to be
// in them.
func InitialInode(t NamespaceType) uint64 { return kindOf(t).inode }

// IsInitialInode reports whether ino is the inode number of an initial
// namespace of any type. True is certain: no other file of nsfs has such a
// number. False is certain, except for mount and network namespaces before
// Linux 6.17; see [InitialInode].
//
// Use it with inode numbers of nsfs only. It does not tell whether the caller is
// in an initial namespace.
func IsInitialInode(ino uint64) bool {
	return firstInitialInode <= ino && ino <= lastInitialInode
}
