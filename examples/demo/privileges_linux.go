package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// checkPrivileges returns an error that names the capabilities which this process lacks, before anything is created.
func checkPrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Errorf("read own capabilities: %w", err)
	}
	var missing []string
	for _, needed := range []struct {
		bit int
		why string
	}{
		{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN to create and join namespaces"},
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN to configure the network"},
		{unix.CAP_SYS_CHROOT, "CAP_SYS_CHROOT to join a mount namespace"},
	} {
		if caps[needed.bit/32].Effective&(1<<(needed.bit%32)) == 0 {
			missing = append(missing, needed.why)
		}
	}
	if len(missing) != 0 {
		return fmt.Errorf("user %d lacks %s: run it as root", os.Getuid(), strings.Join(missing, ", "))
	}
	return nil
}
