package sys

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/species"
)

// The Explain functions put before an EPERM or EACCES what the calling thread lacks, which they find out afterwards.
// They return other errors as they are.

// ExplainJoin is for setns(2) of these types, NaNS for whatever it is, and what is opened for it. fd is the namespace or
// the pidfd that it was called with, raw.NoFD if that is not at hand. An EINVAL is explained, too, if a rule says why.
func ExplainJoin(err error, types species.NamespaceType, fd int) error {
	err = ExplainInspect(err)
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	if types == species.NaNS {
		types, _ = TypeOf(fd)
	}
	for _, r := range refusals(species.Set(types), fd) {
		if errors.Is(err, r.errno) && r.isForAll() {
			return fmt.Errorf("%w: %w", r.why, err)
		}
	}
	return because(syscall.EPERM, err, suffices)
}

// ExplainInspect is for opening or comparing the namespaces of a process, or its root.
func ExplainInspect(err error) error { return because(syscall.EACCES, err, lacksToInspect) }

// ExplainCreate is for unshare(2) and clone(2) of these types.
func ExplainCreate(err error, types species.NamespaceType) error {
	return because(syscall.EPERM, err, func() error {
		if species.Set(types).Has(species.CLONE_NEWUSER) {
			return errors.New("new user namespaces are denied by a seccomp filter, a security module or a sysctl, or to " +
				"whoever is in a chroot or has no mapped ID, or the ID mappings take more rights (user_namespaces(7))")
		}
		return lacksOver(species.NaNS, nil)
	})
}

// ExplainMount is for mount(2) and umount(2).
func ExplainMount(err error) error {
	return because(syscall.EPERM, err, func() error {
		fd, _ := OpenThreadNamespace(species.CLONE_NEWNS)
		defer func() { _ = fd.Close() }()
		return lacksOver(species.CLONE_NEWNS, fd)
	})
}

// ExplainSocket is for asking a socket for its network namespace.
func ExplainSocket(err error) error {
	return because(syscall.EPERM, err, func() error {
		return errors.New("CAP_NET_ADMIN is lacking in the user namespace that owns the socket's network namespace, or " + refuser())
	})
}

// because puts the reason before an error that is this refusal.
func because(refusal, err error, why func() error) error {
	if !errors.Is(err, refusal) {
		return err
	}
	return fmt.Errorf("%w: %w", why(), err)
}

// hasCapability reports whether the calling thread has a capability in its own user namespace.
func hasCapability(capability int) bool {
	var sets [2]unix.CapUserData
	err := unix.Capget(capHeader(), &sets[0])
	return err == nil && sets[capability/32].Effective&(1<<(capability%32)) != 0
}

// refuser names who else may refuse.
func refuser() string {
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err == nil && mode == 0 {
		return "a security module (such as SELinux or AppArmor) refuses it"
	}
	return "the seccomp filter or a security module (such as SELinux or AppArmor) refuses it"
}

// suffices is for when no capability is lacking.
func suffices() error { return errors.New("the caller's capabilities suffice, so " + refuser()) }

// lacksOver says where CAP_SYS_ADMIN is lacking: in the caller's own user namespace, or in the owner of ns, if not nil.
func lacksOver(t species.NamespaceType, ns *FD) error {
	ours, _ := ThreadNamespaceID(species.CLONE_NEWUSER)
	r := rules{ours: ours}
	if r.over(t, ns, unix.CAP_SYS_ADMIN); len(r.found) > 0 {
		return r.found[0].why
	}
	return suffices()
}

func lacksToInspect() error {
	why := "and it is another user's, or not dumpable (ptrace(2))"
	if hasCapability(unix.CAP_SYS_PTRACE) {
		why = "which is not the caller's own, nor below it, or " + refuser()
	}
	e := &species.CapabilityError{Capability: capabilityNames[unix.CAP_SYS_PTRACE], Of: species.CLONE_NEWUSER}
	return fmt.Errorf("no right to inspect the process: %w that it is in, %s", e, why)
}

// openOne opens the namespace of type t behind fd, which is it or a pidfd.
func openOne(fd int, t species.NamespaceType) (*FD, error) {
	if found, err := TypeOf(fd); err == nil && found == t {
		return DupFD(fd)
	}
	return (&Process{fd: &FD{number: fd}}).OpenNamespace(t) // which closes nothing
}

// IsRoot reports whether the directory is the calling thread's root: the same one, of the same mount. It does not ask a
// file system that a hostile process may serve.
func IsRoot(dir *FD) bool {
	defer runtime.KeepAlive(dir)
	const mask = unix.STATX_INO | unix.STATX_MNT_ID
	var theirs, ours unix.Statx_t
	if unix.Statx(dir.Int(), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, mask, &theirs) != nil ||
		unix.Statx(unix.AT_FDCWD, "/", 0, mask, &ours) != nil {
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

// SuidDumpable reports whether a process whose credentials have changed can be traced: fs.suid_dumpable is 1.
func SuidDumpable() bool {
	text, err := os.ReadFile("/proc/sys/fs/suid_dumpable")
	return err == nil && string(bytes.TrimSpace(text)) == "1"
}

// overflowID is what the system shows for an ID that the caller's user namespace does not map.
const overflowID = 65534

// Trust knows, and remembers, where nobody but root and the calling user may make directories. Zero is ready for use.
type Trust struct{ known map[string]bool }

// OnlyTrustedMayMake reports whether nobody but root and the calling user could have made the directory dir, which is below
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
