package sys

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
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
	if err == nil {
		permitted, err = capabilitySet(text, "\nCapPrm:\t")
	}
	if err == nil {
		bounding, err = capabilitySet(text, "\nCapBnd:\t")
	}
	if !p.Alive() {
		return 0, 0, unix.ESRCH
	}
	return permitted, bounding, gone(err)
}

func capabilitySet(status []byte, key string) (uint64, error) {
	_, rest, _ := bytes.Cut(status, []byte(key))
	line, _, found := bytes.Cut(rest, []byte{'\n'})
	if !found {
		return 0, fmt.Errorf("no %q in the status of a process", key[1:len(key)-2])
	}
	return strconv.ParseUint(string(line), 16, 64)
}

// SuidDumpable reports whether a process whose credentials have changed can be traced as if nothing were: whether
// fs.suid_dumpable is 1.
func SuidDumpable() bool {
	text, err := os.ReadFile("/proc/sys/fs/suid_dumpable")
	return err == nil && string(bytes.TrimSpace(text)) == "1"
}
