//go:build linux

package sys

import "golang.org/x/sys/unix"

// ExecutableChangesRights says whether the running program's file is set-user-ID or set-group-ID in favour of others
// than the calling thread's effective IDs, or has capabilities: a process that WithFullRights starts from it would get
// other rights, or be taken for such a program. A copy has none of that.
func ExecutableChangesRights() bool {
	m := marksOfExecutable()
	return m.setuid && int(m.uid) != unix.Geteuid() || m.setgid && int(m.gid) != unix.Getegid() || m.capable
}

// ExecutableHasCapabilities says whether the running program's file has capabilities.
func ExecutableHasCapabilities() bool { return marksOfExecutable().capable }

type executableMarks struct {
	setuid, setgid, capable bool
	uid, gid                uint32
}

// marksOfExecutable looks once. If somebody marks the file later, a worker's bootstrap is inert, which ends the worker.
func marksOfExecutable() (m executableMarks) {
	if HoldExecutable() != nil {
		return m
	}
	executable.Lock()
	defer executable.Unlock()
	if executable.marks == nil {
		executable.marks = readMarks(executable.file)
	}
	return *executable.marks
}

func readMarks(file *FD) *executableMarks {
	const setgid = unix.S_ISGID | unix.S_IXGRP // without the second it has another meaning
	var stat unix.Stat_t
	if Retry(func() error { return unix.Fstat(file.Int(), &stat) }) != nil {
		return &executableMarks{}
	}
	_, err := unix.Getxattr(PathOf(file), "security.capability", nil)
	return &executableMarks{stat.Mode&unix.S_ISUID != 0, stat.Mode&setgid == setgid, err == nil, stat.Uid, stat.Gid}
}
