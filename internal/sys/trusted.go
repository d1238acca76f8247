//go:build linux

package sys

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// overflowID is what the system shows for an ID that the caller's user namespace does not map.
const overflowID = 65534

// OnlyTrustedMayMake says whether nobody but root and the calling user could have made the directory dir, which is root
// or below it: all the directories above belong to these and cannot be written by others. Who owns dir itself does not
// matter. Where the caller's user namespace does not map the owner of root, that is taken for the machine's root.
func OnlyTrustedMayMake(root, dir string) bool {
	var top unix.Stat_t
	if err := Retry(func() error { return unix.Lstat(root, &top) }); err != nil {
		return false
	}
	trusted := func(uid uint32) bool {
		return uid == 0 || int(uid) == os.Geteuid() || uid == overflowID && top.Uid == overflowID
	}
	for dir != root && len(dir) > len(root) {
		dir = path.Dir(dir)
		var st unix.Stat_t
		err := Retry(func() error { return unix.Lstat(dir, &st) })
		others := uint32(unix.S_IWOTH)
		if st.Gid != 0 {
			others |= unix.S_IWGRP
		}
		if err != nil || !trusted(st.Uid) || st.Mode&others != 0 {
			return false
		}
	}
	return true
}
