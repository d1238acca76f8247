package sys

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// overflowID is what the system shows for an ID that the caller's user namespace does not map.
const overflowID = 65534

// Trust says where nobody but root and the calling user may make directories, and remembers that. The zero value is ready
// for use.
type Trust struct{ known map[string]bool }

// OnlyTrustedMayMake says whether nobody but root and the calling user could have made the directory dir, which is below
// root: all the directories above belong to these and cannot be written by others. Who owns dir itself does not matter.
// Where the caller's user namespace does not map the owner of root, that is taken for the machine's root.
func (t *Trust) OnlyTrustedMayMake(root, dir string) bool {
	above := path.Dir(dir)
	if len(above) < len(root) {
		return false
	}
	trusted, ok := t.known[above]
	if !ok {
		trusted = onlyTrustedMayWrite(root, above) && (above == root || t.OnlyTrustedMayMake(root, above))
		if t.known == nil {
			t.known = map[string]bool{}
		}
		t.known[above] = trusted
	}
	return trusted
}

func onlyTrustedMayWrite(root, dir string) bool {
	var st, top unix.Stat_t
	if err := Retry(func() error { return unix.Lstat(dir, &st) }); err != nil {
		return false
	}
	others := uint32(unix.S_IWOTH)
	if st.Gid != 0 {
		others |= unix.S_IWGRP
	}
	switch {
	case st.Mode&others != 0:
		return false
	case st.Uid == overflowID:
		return unix.Lstat(root, &top) == nil && top.Uid == overflowID
	}
	return st.Uid == 0 || int(st.Uid) == os.Geteuid()
}
