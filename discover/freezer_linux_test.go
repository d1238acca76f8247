package discover_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
)

// freezable starts a process that leads a namespace, and another in there, in a cgroup of its own that can be frozen.
func freezable(t *testing.T, hierarchy string) (cgroup string, leader int) {
	t.Helper()
	cgroup = filepath.Join(hierarchy, "nsops-test-"+strconv.Itoa(os.Getpid()))
	return cgroup, inCgroup(t, cgroup)
}

// inCgroup makes a cgroup and starts a process in there that leads namespaces.
func inCgroup(t *testing.T, cgroup string) (leader int) {
	t.Helper()
	if err := os.Mkdir(cgroup, 0o700); err != nil {
		testutil.Skip(t, "needs a cgroup: "+err.Error())
	}
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.Remove(cgroup) == nil }, patience, tick)
	})
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	require.NoError(t, os.WriteFile(cgroup+"/cgroup.procs", []byte(strconv.Itoa(target.PID)), 0o600))
	return target.PID
}

// unifiedHierarchy returns where version 2 is mounted, beside version 1 or alone.
func unifiedHierarchy(t *testing.T) string {
	t.Helper()
	for _, hierarchy := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(hierarchy + "/cgroup.subtree_control"); err == nil {
			return hierarchy
		}
	}
	testutil.Skip(t, "needs cgroups of version 2")
	return ""
}

func requireFrozen(t *testing.T, pid int, want bool) {
	t.Helper()
	for _, sources := range []discover.Sources{discover.Standard, discover.Full} {
		r, err := discover.Discover(t.Context(), discover.Options{Sources: sources})
		require.NoError(t, err)
		require.Equal(t, want, r.Process(pid).Frozen, "%s", r.Process(pid).Cgroup)
		if want { // and so it stays in that state
			text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
			require.NoError(t, err)
			require.Contains(t, string(text), ") "+string(r.Process(pid).State)+" ")
		}
		again, err := discover.Rescan(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, want, again.Process(pid).Frozen)
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var read discover.Result
		require.NoError(t, json.Unmarshal(text, &read))
		require.Equal(t, want, read.Process(pid).Frozen)
	}
}

func requireFreezes(t *testing.T, pid int, file, freeze, thaw, events, frozen string) {
	t.Helper()
	write := func(word, state string) {
		require.NoError(t, os.WriteFile(file, []byte(word), 0o600))
		require.Eventually(t, func() bool {
			text, _ := os.ReadFile(events)
			return strings.Contains(string(text), state)
		}, patience, tick)
	}
	requireFrozen(t, pid, false)
	write(freeze, frozen)
	t.Cleanup(func() { _ = os.WriteFile(file, []byte(thaw), 0o600) })
	requireFrozen(t, pid, true)
	write(thaw, "")
	requireFrozen(t, pid, false)
}

func TestFrozenByVersion1(t *testing.T) {
	testutil.NeedRoot(t)
	const freezer = "/sys/fs/cgroup/freezer"
	if _, err := os.Stat(freezer + "/cgroup.procs"); err != nil {
		testutil.Skip(t, "needs the freezer of version 1: "+err.Error())
	}
	cgroup, pid := freezable(t, freezer)
	requireFreezes(t, pid, cgroup+"/freezer.state", "FROZEN", "THAWED", cgroup+"/freezer.state", "FROZEN")
}

// TestFrozenByVersion2 does so where version 1 may be mounted too.
func TestFrozenByVersion2(t *testing.T) {
	testutil.NeedRoot(t)
	cgroup, pid := freezable(t, unifiedHierarchy(t))
	requireFreezes(t, pid, cgroup+"/cgroup.freeze", "1", "0", cgroup+"/cgroup.events", "frozen 1")
}

// TestFrozenWithVersion2Only does so in a mount namespace with nothing else.
func TestFrozenWithVersion2Only(t *testing.T) {
	testutil.NeedRoot(t)
	const only = "NSOPS_TEST_CGROUP2"
	if os.Getenv(only) != "" {
		TestFrozenByVersion2(t)
		return
	}
	testutil.NeedCommand(t, "unshare", "umount", "mount")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("unshare", "-m", "sh", "-c", `umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"`,
		"sh", self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), only+"=1")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS")
}
