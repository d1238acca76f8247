//go:build linux

package sys

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// SetnsTakesPidfd says whether setns(2) joins the namespaces of a pidfd's process (5.8). The probe joins our own UTS
// namespace on a thread that is in it, which changes nothing; an old kernel says EINVAL before it looks at rights.
func SetnsTakesPidfd() bool { return !pretended(SetnsPidfd) && probeSetns() }

var probeSetns = sync.OnceValue(func() bool {
	self, err := OpenProcess(os.Getpid())
	if err != nil {
		return false
	}
	defer func() { _ = self.Close() }()
	result := make(chan error)
	go func() { result <- Setns(self.Int(), unix.CLONE_NEWUTS) }() // not on a thread that the caller has switched
	return <-result != unix.EINVAL
})
