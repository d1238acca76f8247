package discover_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func unshare(t species.NamespaceType) error { return unix.Unshare(int(t)) }

func pid() int { return os.Getpid() }

// checkLeaks is testutil.CheckLeaks once nobody tries any more to open what an earlier test had on a file system that did
// not answer: that takes a descriptor of a mount namespace.
func checkLeaks(t *testing.T) {
	t.Helper()
	held := func() bool {
		fds, _ := filepath.Glob("/proc/self/fd/*")
		return slices.ContainsFunc(fds, func(fd string) bool {
			link, _ := os.Readlink(fd)
			return strings.HasPrefix(link, "mnt:[")
		})
	}
	for end := time.Now().Add(patience); held() && time.Now().Before(end); {
		time.Sleep(tick)
	}
	testutil.CheckLeaks(t)
}
