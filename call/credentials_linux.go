package call

// nobody is the UID and GID that stands for no user, of the kernel and of man 7 user_namespaces.
const nobody = 65534

// unprivileged returns the ID that DropPrivs is to leave, of a real ID.
func unprivileged(id int) uint32 {
	if id == 0 {
		return nobody
	}
	return uint32(id)
}
