package sys

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
)

// executable is the program that runs, opened while /proc was the caller's own, and its copy that cannot be changed.
var executable struct {
	sync.Mutex
	file, copy *FD
	marks      *executableMarks // of the file, once they were read
}

// HoldExecutable opens the running program, once, so that it can be started again whatever becomes of its path.
func HoldExecutable() error {
	executable.Lock()
	defer executable.Unlock()
	if executable.file != nil {
		return nil
	}
	if err := checkProc(); err != nil {
		return err
	}
	var err error
	executable.file, err = openFile(raw.CurrentDir, "/proc/self/exe", unix.O_PATH)
	return err
}

// Executable returns the running program, or a copy to be run where a container's root can write to it (CVE-2019-5736).
// PathOf leads to it while /proc is mounted. The caller closes a fresh one after one use, and no other.
func Executable(copied bool) (program *FD, fresh bool, err error) {
	if err := cmp.Or(HoldExecutable(), checkProc()); err != nil {
		return nil, false, err
	}
	executable.Lock()
	defer executable.Unlock()
	switch {
	case !copied:
		return executable.file, false, nil
	case executable.copy != nil:
		return executable.copy, false, nil
	}
	return copyExecutable()
}

// copyExecutable prefers the safest copy. Nobody can write to the first two, so they are kept.
func copyExecutable() (program *FD, fresh bool, err error) {
	program, sealErr := SealedCopy(executable.file)
	var mountErr error
	if sealErr != nil {
		program, mountErr = mountedCopy(executable.file)
	}
	if mountErr == nil {
		executable.copy = program
		return program, false, nil
	}
	program, err = unlinkedCopy(executable.file)
	if err != nil {
		return nil, false, fmt.Errorf("no copy of the program: sealed: %w; on a mount: %w; without a name: %w", sealErr, mountErr, err)
	}
	return program, true, nil
}

// programMode lets everybody execute a copy and only root read it.
const programMode = 0o111

// SealedCopy returns an anonymous copy to which nobody can write.
func SealedCopy(file *FD) (*FD, error) {
	fd, err := memfd("nsops-worker", unix.MFD_ALLOW_SEALING, unix.MFD_EXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	if err = copyProgram(fd, file); err == nil {
		const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		if err = addSeals(fd, seals|unix.F_SEAL_EXEC); err == unix.EINVAL { // before Linux 6.3
			err = addSeals(fd, seals)
		}
	}
	return orClose(fd, err)
}

// addSeals waits while the kernel itself looks at pages of the file, which is EBUSY.
func addSeals(fd *FD, seals int) (err error) {
	for range 20 {
		if _, err = unix.FcntlInt(uintptr(fd.Int()), unix.F_ADD_SEALS, seals); err != unix.EBUSY {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// mountedCopy returns a copy on a file system in memory that is read-only for everybody and mounted nowhere. It requires
// CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
func mountedCopy(file *FD) (*FD, error) {
	if pretended(PrivateMounts) {
		return nil, unix.EPERM
	}
	fs, err := open(func() (int, error) { return unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC) })
	if err != nil {
		return nil, fmt.Errorf("fsopen: %w", err)
	}
	defer func() { _ = fs.Close() }()
	if err := unix.FsconfigCreate(fs.Int()); err != nil {
		return nil, fmt.Errorf("fsconfig: %w", err)
	}
	const attributes = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	mount, err := open(func() (int, error) { return unix.Fsmount(fs.Int(), unix.FSMOUNT_CLOEXEC, attributes) })
	if err != nil {
		return nil, fmt.Errorf("fsmount: %w", err)
	}
	defer func() { _ = mount.Close() }()
	const name = "nsops-worker"
	if err := copyInto(mount, name, file); err != nil {
		return nil, err
	}
	if err := errors.Join(unix.FsconfigSetFlag(fs.Int(), "ro"), unix.FsconfigReconfigure(fs.Int())); err != nil {
		return nil, fmt.Errorf("make it read-only: %w", err)
	}
	return openFile(mount.Int(), name, unix.O_PATH)
}

func copyInto(dir *FD, name string, file *FD) error {
	defer withoutForks()()
	fd, err := openFile(dir.Int(), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer func() { _ = fd.Close() }()
	return copyProgram(fd, file)
}

// unlinkedCopy returns a copy without a name, for one run: afterwards, whoever saw it run can write to it.
func unlinkedCopy(file *FD) (*FD, error) {
	defer withoutForks()()
	fd, err := unlinked(executableIn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = fd.Close() }()
	if err := copyProgram(fd, file); err != nil {
		return nil, err
	}
	return openFile(raw.CurrentDir, PathOf(fd), unix.O_PATH)
}

// executableIn returns a file of a directory in which programs can be executed.
func executableIn(dir string) (*FD, error) {
	fs, err := statfsAt(dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", dir, err)
	case fs.Flags&unix.MS_NOEXEC != 0:
		return nil, fmt.Errorf("%s is mounted noexec: %w", dir, unix.EACCES)
	}
	return unlinkedIn(dir)
}

// withoutForks starts no other process until the function returned is called: a child between fork and exec has a copy of
// every descriptor, and a file that is open for writing is not executed (ETXTBSY).
func withoutForks() (done func()) {
	syscall.ForkLock.RLock()
	return syscall.ForkLock.RUnlock
}

func copyProgram(to, file *FD) error {
	defer runtime.KeepAlive(file)
	source, err := openFile(raw.CurrentDir, PathOf(file), unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	for n := 1; n != 0; {
		err := Retry(func() (err error) { n, err = unix.Sendfile(to.Int(), source.Int(), nil, 1<<30); return err })
		if err != nil {
			return explainSize(err)
		}
	}
	return unix.Fchmod(to.Int(), programMode)
}

// ExecutableChangesRights reports whether the running program's file is set-user-ID or set-group-ID in favour of others
// than the calling thread's effective IDs, or has capabilities: a process that WithFullRights starts from it would get
// other rights, or be taken for such a program. A copy has none of that.
func ExecutableChangesRights() bool {
	const setgid = unix.S_ISGID | unix.S_IXGRP // without the second it has another meaning
	m := marksOfExecutable()
	return m.file.Mode&unix.S_ISUID != 0 && int(m.file.Uid) != unix.Geteuid() ||
		m.file.Mode&setgid == setgid && int(m.file.Gid) != unix.Getegid() || m.capable
}

// ExecutableHasCapabilities reports whether the running program's file has capabilities.
func ExecutableHasCapabilities() bool { return marksOfExecutable().capable }

type executableMarks struct {
	file    unix.Stat_t
	capable bool
}

// marksOfExecutable looks once. If somebody marks the file later, a worker's bootstrap is inert, which ends the worker.
func marksOfExecutable() (m executableMarks) {
	if HoldExecutable() != nil {
		return m
	}
	executable.Lock()
	defer executable.Unlock()
	if executable.marks == nil {
		stat, _ := fstat(executable.file.Int())
		_, err := unix.Getxattr(PathOf(executable.file), "security.capability", nil)
		executable.marks = &executableMarks{stat, err == nil}
	}
	return *executable.marks
}
