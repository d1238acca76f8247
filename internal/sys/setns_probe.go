//go:build linux

package sys

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// SetnsTakesPidfd says whether setns(2) joins the namespaces of a pidfd's process (5.8). The probe is for a time
// namespace, which one thread of several cannot join: EUSERS. EINVAL says that the kernel knows no pidfd here, or no
// time namespaces, which does no harm.
func SetnsTakesPidfd() bool { return !pretended(SetnsPidfd) && probeSetns() }

var probeSetns = sync.OnceValue(func() bool {
	self, err := OpenProcess(os.Getpid())
	if err != nil {
		return false
	}
	defer func() { _ = self.Close() }()
	return Setns(self.Int(), unix.CLONE_NEWTIME) != unix.EINVAL
})
