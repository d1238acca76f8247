package species

// The inode numbers of the initial namespaces lie side by side, just below
// those that the kernel gives to other namespaces (0xF0000000 and up):
// enum init_ns_ino in linux/nsfs.h.
const (
	firstInitialInode = 0xEFFFFFF8
	lastInitialInode  = 0xEFFFFFFF
)

// InitialInode returns the inode number of the initial namespace of a type, the
// one that exists from boot, and 0 for whatever is not a single type.
//
//	mnt  4026531832   cgroup 4026531835   user 4026531837   ipc 4026531839
//	net  4026531833   pid    4026531836   uts  4026531838
//	time 4026531834
//
// All eight were seen on Linux 6.18. They are fixed in the kernel for pid, user,
// uts and ipc since Linux 3.8, for cgroup and time since these types exist (4.6
// and 5.6), for mnt and net since 6.17. Before that the initial mount and
// network namespaces have a number given out at boot, like any other namespace:
// there, compare with a process known to be in them.
func InitialInode(t NamespaceType) uint64 { return kindOf(t).inode }

// IsInitialInode reports whether ino is the inode number of an initial
// namespace, of whatever type. True is certain: the kernel gives these numbers
// to nothing else on nsfs. False is certain but for mount and network namespaces
// before Linux 6.17; see [InitialInode].
//
// Use it with inode numbers of nsfs only. It tells the initial namespaces of the
// kernel from others, not whether the caller is in them.
func IsInitialInode(ino uint64) bool {
	return firstInitialInode <= ino && ino <= lastInitialInode
}
