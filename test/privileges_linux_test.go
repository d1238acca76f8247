package test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
)

const nobody = 65534

// noCaps is how /proc/PID/status prints a set without capabilities.
const noCaps = "0000000000000000"

func TestDropPrivs(t *testing.T) {
	withGroups(t, 4, 20, 27)
	inContainers(t, func(t *testing.T, c container) {
		unchanged(t, c)
		for name, id := range map[string]int{"default": nobody, "all": c.base + nobody} {
			build := func(call *call.Call) *call.Call {
				if name == "all" {
					call.Namespaces(c.allTypes()...)
				}
				return call.DropPrivs()
			}
			v := c.look(t, wish{}, build, func(worker *testutil.Target) {
				requireNoPrivs(t, status(text(worker.ProcDir()+"/status")), id)
			})
			require.Equal(t, nobody, v.UID)
			if name == "all" {
				requireNoPrivs(t, v.Status, nobody)
			}
		}
	})
}

// requireNoPrivs checks the privileges of each thread in /proc/PID/status.
func requireNoPrivs(t *testing.T, status map[string]string, id int) {
	t.Helper()
	require.Equal(t, all(id, 4), status["Uid"])
	require.Equal(t, all(id, 4), status["Gid"])
	require.Empty(t, status["Groups"])
	for key, value := range status {
		if strings.HasPrefix(key, "Cap") {
			require.Equal(t, noCaps, value, key)
		}
	}
	require.Contains(t, status, "CapBnd")
	require.Equal(t, "1", status["NoNewPrivs"])
}

// TestGroupsAreGone checks that a worker in a user namespace has none of the caller's groups, also without DropPrivs.
func TestGroupsAreGone(t *testing.T) {
	withGroups(t, 4, 20, 27)
	inContainers(t, func(t *testing.T, c container) {
		build := func(call *call.Call) *call.Call { return call.Namespaces(c.allTypes()...) }
		v := c.look(t, wish{}, build, func(worker *testutil.Target) {
			if c.base != 0 {
				require.Empty(t, status(text(worker.ProcDir() + "/status"))["Groups"])
			}
		})
		require.Equal(t, c.base != 0, v.Status["Groups"] == "")
		require.Equal(t, "0", v.Status["NoNewPrivs"])
	})
}

// TestWorkerIsNotDumpable checks from outside that the worker is not dumpable: so the container's root cannot inspect
// it.
func TestWorkerIsNotDumpable(t *testing.T) {
	inContainers(t, func(t *testing.T, c container) {
		build := func(call *call.Call) *call.Call { return call.Namespaces(c.allTypes()...) }
		c.look(t, wish{}, build, func(worker *testutil.Target) {
			info, err := os.Stat(worker.ProcDir() + "/environ")
			require.NoError(t, err)
			require.EqualValues(t, 0, info.Sys().(*syscall.Stat_t).Uid, "files in /proc/PID of a dumpable process belong to its user")
			exe, err := os.Readlink(worker.ProcDir() + "/exe")
			require.NoError(t, err)
			require.Contains(t, exe, "memfd:")
		})
	})
}

// withGroups gives this process supplementary groups until the end of the test.
func withGroups(t *testing.T, groups ...int) {
	t.Helper()
	testutil.NeedRoot(t)
	before, err := syscall.Getgroups()
	require.NoError(t, err)
	require.NoError(t, syscall.Setgroups(groups))
	t.Cleanup(func() { require.NoError(t, syscall.Setgroups(before)) })
}
