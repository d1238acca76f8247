package sys

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
)

// WithFullRights runs f on the calling thread, to which the goroutine is locked, so that a program that f starts has
// the thread's rights: its effective IDs are also real, and its effective capabilities ambient unless it is root.
// Otherwise execve(2) would drop them, or treat the program as set-user-ID (AT_SECURE). Other threads do not change.
// The error is that of f, or says what was refused.
func WithFullRights(f func() error) error {
	before, err := threadCredentials()
	if err == nil {
		err = before.raise()
	}
	if err == nil {
		err = f()
	}
	if failed := before.restore(); failed != nil {
		runtime.LockOSThread() // one lock too many: the thread ends with its goroutine
		return fmt.Errorf("restore the thread's credentials: %w", failed)
	}
	return err
}

// credentials are those of a thread that raise changes.
type credentials struct {
	uid, gid   [3]int              // real, effective, saved
	caps       [2]unix.CapUserData // man 2 capget: bit n%32 of element n/32
	raised     []uintptr           // made ambient
	idsChanged bool
	capsRaised bool
}

func threadCredentials() (*credentials, error) {
	c := &credentials{}
	c.uid[0], c.uid[1], c.uid[2] = unix.Getresuid()
	c.gid[0], c.gid[1], c.gid[2] = unix.Getresgid()
	if err := unix.Capget(capHeader(), &c.caps[0]); err != nil {
		return c, fmt.Errorf("capget: %w", err)
	}
	return c, nil
}

func capHeader() *unix.CapUserHeader {
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

// raise keeps the real IDs as saved ones, so that there is a way back without privilege.
func (c *credentials) raise() error {
	if c.uid[0] != c.uid[1] || c.gid[0] != c.gid[1] {
		c.idsChanged = true
		if err := setThreadIDs([3]int{c.uid[1], c.uid[1], c.uid[0]}, [3]int{c.gid[1], c.gid[1], c.gid[0]}); err != nil {
			return err
		}
	}
	return c.raiseAmbient()
}

// raiseAmbient makes effective capabilities ambient, for which they must be inheritable first.
func (c *credentials) raiseAmbient() error {
	lost, _ := c.lost()
	if len(lost) == 0 {
		return nil
	}
	wanted := c.caps
	for _, n := range lost {
		wanted[n/32].Inheritable |= 1 << (n % 32)
	}
	c.capsRaised = true
	if err := unix.Capset(capHeader(), &wanted[0]); err != nil {
		return fmt.Errorf("make capabilities inheritable: %w", err)
	}
	for _, n := range lost {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, n, 0, 0); err != nil {
			return fmt.Errorf("make capability %d ambient: %w", n, err)
		}
		c.raised = append(c.raised, n)
	}
	return nil
}

// Of linux/securebits.h.
const secbitNoRoot, secbitNoRaise = 1 << 0, 1 << 6

// lost returns the effective capabilities that a program would not get, but could, and whether there are others that it
// cannot get. There are none if the thread is root, whose programs have them, unless the securebits say otherwise.
func (c *credentials) lost() (lost []uintptr, others bool) {
	bits, _ := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if c.uid[1] == 0 && bits&secbitNoRoot == 0 {
		return nil, false
	}
	for n := range uintptr(64) {
		set, bit := c.caps[n/32], uint32(1)<<(n%32)
		switch {
		case set.Effective&bit == 0 || prctlIs(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, n):
		case bits&secbitNoRaise == 0 && (set.Inheritable&bit != 0 || prctlIs(unix.PR_CAPBSET_READ, n, 0)):
			lost = append(lost, n)
		default:
			others = true
		}
	}
	return lost, others
}

func prctlIs(option int, a, b uintptr) bool {
	n, err := unix.PrctlRetInt(option, a, b, 0, 0)
	return err == nil && n == 1
}

// KeepsCapabilities reports whether the calling thread has capabilities that no program gets which it starts, since they
// have left the bounding set, or the securebits forbid to make them ambient.
func KeepsCapabilities() bool {
	c, err := threadCredentials()
	_, others := c.lost()
	return err == nil && others
}

// restore undoes what raise did.
func (c *credentials) restore() error {
	for _, n := range c.raised {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_LOWER, n, 0, 0); err != nil {
			return err
		}
	}
	if c.capsRaised {
		if err := unix.Capset(capHeader(), &c.caps[0]); err != nil {
			return err
		}
	}
	if c.idsChanged {
		return setThreadIDs(c.uid, c.gid)
	}
	return nil
}

func setThreadIDs(uid, gid [3]int) error {
	return os.NewSyscallError("setresuid", asError(raw.SetIDs(uid, gid)))
}
