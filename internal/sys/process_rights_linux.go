package sys

import (
	"bytes"
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/procfs"
)

// IsRoot reports whether the directory is the calling thread's root: the same one, of the same mount. A file
// system that a hostile process serves is not asked.
func IsRoot(dir *FD) bool {
	defer runtime.KeepAlive(dir)
	const mask = unix.STATX_INO | unix.STATX_MNT_ID
	var theirs, ours unix.Statx_t
	if unix.Statx(dir.Int(), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, mask, &theirs) != nil || unix.Statx(unix.AT_FDCWD, "/", 0, mask, &ours) != nil {
		return false
	}
	return theirs.Ino == ours.Ino && theirs.Dev_major == ours.Dev_major && theirs.Dev_minor == ours.Dev_minor &&
		theirs.Mnt_id == ours.Mnt_id && theirs.Mask&ours.Mask&unix.STATX_MNT_ID != 0
}

// Capabilities returns the permitted and the bounding set of the process, as bits, in its own user namespace.
func (p *Process) Capabilities() (permitted, bounding uint64, err error) {
	dir, err := p.ProcDir()
	if err != nil {
		return 0, 0, err
	}
	text, err := os.ReadFile(dir + "/status") // its groups come first, and may be many
	permitted, bounding, ok := procfs.ParseCapabilities(text)
	if err == nil && !ok {
		err = errors.New("no capabilities in the status of a process")
	}
	if !p.Alive() {
		return 0, 0, unix.ESRCH
	}
	return permitted, bounding, gone(err)
}

// SuidDumpable reports whether a process whose credentials have changed can be traced as if nothing were: whether
// fs.suid_dumpable is 1.
func SuidDumpable() bool {
	text, err := os.ReadFile("/proc/sys/fs/suid_dumpable")
	return err == nil && string(bytes.TrimSpace(text)) == "1"
}
