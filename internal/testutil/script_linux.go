package testutil

import (
	"strings"

	"github.com/nsops/nsops/species"
)

// sleeper is the program that a target executes. It reads a pipe whose other end the test holds, so it ends with the
// test, however that ends.
const sleeper = "cat"

// usualUmask lets all users of a target read what its root creates, whatever the umask of the test is.
const usualUmask = "umask 022\n"

// argv returns the command that makes a process in new namespaces a target.
func (o TargetOptions) argv() []string {
	if o.has(species.CLONE_NEWTIME) { // execve(2) enters the new one, before Linux 6.3 only a child does
		return []string{"/bin/sh", "-ec", usualUmask + o.mountScript() + `exec unshare --time \
			nsenter --time=/proc/self/ns/time_for_children /bin/sh -ec "$1"`, "sh", o.script()}
	}
	return []string{"/bin/sh", "-ec", usualUmask + o.mountScript() + o.script()}
}

func (o TargetOptions) mountScript() string {
	switch {
	case o.has(species.CLONE_NEWNS | species.CLONE_NEWPID):
		return "mount --make-rprivate /\nmount -t proc proc /proc\n"
	case o.has(species.CLONE_NEWNS):
		return "mount --make-rprivate /\n"
	}
	return ""
}

func (o TargetOptions) script() string {
	var s strings.Builder
	if o.has(species.CLONE_NEWUTS) {
		s.WriteString("hostname " + quote(o.Hostname) + "\n")
	}
	if o.LoUp {
		s.WriteString("ip link set lo up\n")
	}
	if o.OwnRoot {
		s.WriteString(o.rootScript())
	}
	s.WriteString(o.Setup + "\nexec " + sleeper + "\n")
	return s.String()
}

// rootScript changes to a root that has a few devices of the machine and no other file of it.
func (o TargetOptions) rootScript() string {
	sysfs := "mount -t sysfs -o ro sysfs sys"
	if !o.has(species.CLONE_NEWNET) {
		sysfs = "mount --rbind /sys sys" // mounting sysfs requires CAP_SYS_ADMIN over the network namespace
	}
	proc := "mount -t proc proc proc"
	if !o.has(species.CLONE_NEWPID) {
		proc = "mount --rbind /proc proc"
	}
	return strings.Join([]string{
		"mount -t tmpfs -o mode=755 nsops-root /mnt",
		"cd /mnt",
		"mkdir bin dev etc proc root run sys tmp old",
		`cp "$(command -v busybox)" bin/busybox`,
		"chroot . /bin/busybox --install -s /bin",
		"for d in null zero full random urandom tty; do : >dev/$d; mount --bind /dev/$d dev/$d; done",
		"echo ID=" + quote(o.Hostname) + " >etc/os-release",
		proc,
		sysfs,
		"pivot_root . old",
		"cd /",
		"export PATH=/bin",
		"umount -l /old",
		"rmdir /old",
		"",
	}, "\n")
}

func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
