package runtimes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

// LXCHostname is the host name of LXC's containers, LXCBootOffset the offset of their boot-time clock.
const (
	LXCHostname   = "nsops-lxc"
	LXCBootOffset = 1000 * time.Second
)

// StartLXC starts a container with all eight types of namespaces. Without the rights or the packages it skips the test.
func StartLXC(t testing.TB) *testutil.Target {
	t.Helper()
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "lxc-start", "lxc-info", "lxc-stop", "busybox")
	bundle := makeBundle(t, UserBase)
	path, name := filepath.Dir(bundle), newName()
	require.NoError(t, os.Rename(bundle, filepath.Join(path, name))) // LXC wants PATH/NAME/config
	bundle = filepath.Join(path, name)
	configureLXC(t, bundle, name)
	log := filepath.Join(path, "log")
	command := func(command string, args ...string) (string, error) {
		return tryWith(withoutPath(), append([]string{command, "-P", path, "-n", name, "-o", log, "-l", "INFO"}, args...)...)
	}
	stop := func() {
		output, err := command("lxc-stop", "-k")
		require.NoError(t, err, output)
		removeLeftovers(t, path, name)
	}
	if output, err := command("lxc-start", "-d"); err != nil {
		_, _ = command("lxc-stop", "-k")
		removeLeftovers(t, path, name)
		text, _ := os.ReadFile(log)
		t.Fatalf("start container of LXC: %v: %s\n%s", err, output, text)
	}
	pid, err := command("lxc-info", "-p", "-H")
	require.NoError(t, err)
	return attach(t, name, parsePID(t, pid), stop)
}

// withoutPath returns the environment without PATH. If LXC finds newuidmap there, it maps IDs with it, even as root, and
// newuidmap maps only what /etc/subuid grants: on most machines nothing for root.
func withoutPath() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "PATH=") })
}

func configureLXC(t testing.TB, bundle, name string) {
	t.Helper()
	config := fmt.Sprintf(`lxc.rootfs.path = dir:%s/rootfs
lxc.uts.name = %s
lxc.init.cmd = /bin/sleep 100000
lxc.apparmor.profile = unconfined
lxc.net.0.type = empty
lxc.time.offset.boot = %ds
lxc.idmap = u 0 %d 65536
lxc.idmap = g 0 %d 65536
lxc.mount.auto = proc:rw sys:ro
lxc.cgroup.dir.container = %s/payload
lxc.cgroup.dir.monitor = %s/monitor
lxc.cgroup.dir.monitor.pivot = %s/pivot
`, bundle, LXCHostname, int(LXCBootOffset.Seconds()), UserBase, UserBase, name, name, name)
	require.NoError(t, os.WriteFile(filepath.Join(bundle, "config"), []byte(config), 0o600))
}

// removeLeftovers removes what LXC leaves behind: the cgroups of its monitor process, which ends after the container,
// and a lock file.
func removeLeftovers(t testing.TB, path, name string) {
	t.Helper()
	removed := func() bool {
		for _, top := range cgroups(name) {
			dirs := []string{top}
			for _, below := range []string{"payload", "monitor", "pivot", "lxc.pivot"} {
				dirs = append(dirs, find(top, below)...)
			}
			for _, dir := range slices.Backward(dirs) {
				_ = os.Remove(dir)
			}
		}
		return len(cgroups(name)) == 0
	}
	require.Eventually(t, removed, patience, 10*time.Millisecond, "cgroups left by LXC")
	const locks = "/run/lxc/lock"
	_ = os.RemoveAll(filepath.Join(locks, path, "."+name))
	for dir := filepath.Join(locks, path); dir != "/run"; dir = filepath.Dir(dir) {
		_ = os.Remove(dir) // fails if other locks are in there
	}
}
