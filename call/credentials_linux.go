package call

// nobody is the overflow UID and GID of man 7 user_namespaces.
const nobody = 65534

// unprivileged returns the ID that a worker has after DropPrivs, if the caller's real ID is id.
func unprivileged(id int) uint32 {
	if id == 0 {
		return nobody
	}
	return uint32(id)
}
