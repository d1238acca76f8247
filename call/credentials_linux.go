package call

import (
	"os"
	"syscall"

	"github.com/nsops/nsops/nsenter"
)

// The kernel sets AT_SECURE for a program started with an effective user other than the real one, or with file
// capabilities, and the bootstrap is inert then: the worker would run main. So a set-user-ID root program starts its
// workers as root in full, and other such programs cannot call.

// credential returns what a worker must be started as, nil if that is what we are.
func credential() *syscall.Credential {
	if os.Getuid() == os.Geteuid() && os.Getgid() == os.Getegid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()), NoSetGroups: true}
}

// startsInert says whether the bootstrap would do nothing in a worker, or in this process after execve(2).
func startsInert(spawn bool) bool {
	if credential() != nil {
		return !spawn || os.Geteuid() != 0
	}
	return os.Geteuid() != 0 && nsenter.Secure()
}

// nobody is the UID and GID that stands for no user, of the kernel and of man 7 user_namespaces.
const nobody = 65534

// unprivileged returns the ID that DropPrivs is to leave, of a real ID.
func unprivileged(id int) uint32 {
	if id == 0 {
		return nobody
	}
	return uint32(id)
}
