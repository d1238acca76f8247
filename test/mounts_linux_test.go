package test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestRemountSys(t *testing.T) {
	for name, types := range map[string]func(c container) []species.NamespaceType{
		"default": func(container) []species.NamespaceType {
			return []species.NamespaceType{species.CLONE_NEWNS, species.CLONE_NEWUTS, species.CLONE_NEWIPC, species.CLONE_NEWNET}
		},
		"all": container.allTypes,
		"net": func(container) []species.NamespaceType { return []species.NamespaceType{species.CLONE_NEWNET} },
	} {
		t.Run(name, func(t *testing.T) {
			inContainers(t, func(t *testing.T, c container) { checkRemountSys(t, c, types(c)) })
		})
	}
}

// checkRemountSys expects the container's interfaces in a /sys that only the worker has.
func checkRemountSys(t *testing.T, c container, types []species.NamespaceType) {
	unchanged(t, c)
	old := c.MountTable()
	if !species.Set(0).With(types...).Has(species.CLONE_NEWNS) {
		old = text("/proc/self/mountinfo")
	}
	build := func(call *call.Call) *call.Call { return call.Namespaces(types...).RemountSys() }
	v := c.look(t, wish{}, build, func(worker *testutil.Target) {
		links := worker.NamespaceLinks()
		require.NotEqual(t, c.NamespaceLink(species.CLONE_NEWNS), links["mnt"])
		require.NotEqual(t, procLinks()["mnt"], links["mnt"])
		require.Equal(t, c.NamespaceLink(species.CLONE_NEWNET), links["net"])
		requireSafe(t, old, worker.MountTable())
	})
	require.ElementsMatch(t, []string{"lo", "cont0"}, sysInterfaces(v.Sys))
}

// sysInterfaces leaves out the one file in /sys/class/net that is no interface.
func sysInterfaces(names []string) []string {
	var found []string
	for _, name := range names {
		if name != "bonding_masters" {
			found = append(found, name)
		}
	}
	return found
}

// requireSafe checks the mount on /sys.
func requireSafe(t *testing.T, before, after string) {
	t.Helper()
	mount := topMount(after, "/sys")
	require.Contains(t, mount, " - sysfs ")
	options := strings.Split(strings.Fields(mount)[5], ",")
	require.Subset(t, options, []string{"nosuid", "nodev", "noexec"})
	if strings.HasPrefix(strings.Fields(topMount(before, "/sys"))[5], "ro") {
		require.Contains(t, options, "ro")
	}
	require.NotContains(t, mount, " shared:")
}

// topMount returns the line of the last mount there.
func topMount(table, point string) string {
	top := ""
	for line := range strings.Lines(table) {
		if strings.Fields(line)[4] == point {
			top = line
		}
	}
	return top
}

// TestContainerMountsReachTheWorker checks that the worker is in the container's mount namespace, not in a copy.
func TestContainerMountsReachTheWorker(t *testing.T) {
	inContainers(t, func(t *testing.T, c container) {
		c.look(t, wish{}, asItIs, func(worker *testutil.Target) {
			c.Sh("mount -t tmpfs fresh /tmp")
			require.Contains(t, worker.MountTable(), " - tmpfs fresh ")
		})
	})
}
