//go:build linux

package sys

import "golang.org/x/sys/unix"

// ExecutableChangesRights says whether the running program's file is set-user-ID or set-group-ID in favour of others
// than the calling thread's effective IDs, or has capabilities: a process that WithFullRights starts from it would get
// other rights, or be taken for such a program. A copy has none of that.
func ExecutableChangesRights() bool {
	const setgid = unix.S_ISGID | unix.S_IXGRP // without the second it has another meaning
	file, err := heldExecutable()
	if err != nil {
		return false
	}
	var stat unix.Stat_t
	err = Retry(func() error { return unix.Fstat(file.Int(), &stat) })
	return err == nil && (stat.Mode&unix.S_ISUID != 0 && int(stat.Uid) != unix.Geteuid() ||
		stat.Mode&setgid == setgid && int(stat.Gid) != unix.Getegid()) || ExecutableHasCapabilities()
}

// ExecutableHasCapabilities says whether the running program's file has capabilities.
func ExecutableHasCapabilities() bool {
	file, err := heldExecutable()
	if err != nil {
		return false
	}
	_, err = unix.Getxattr(PathOf(file), "security.capability", nil)
	return err == nil
}

func heldExecutable() (*FD, error) {
	if err := HoldExecutable(); err != nil {
		return nil, err
	}
	executable.Lock()
	defer executable.Unlock()
	return executable.file, nil
}
