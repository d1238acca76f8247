package runtimes

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

// RuncHostname is the host name of runc's containers.
const RuncHostname = "nsops-runc"

// StartRunc starts a container with runc's default mounts, masked paths and capabilities, and with mnt, uts, ipc, net,
// pid and cgroup namespaces; with userns, with a user namespace, too. Without the rights or the packages it skips the
// test.
func StartRunc(t testing.TB, userns bool) *testutil.Target {
	t.Helper()
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "runc", "busybox")
	owner := 0
	if userns {
		owner = UserBase
	}
	bundle := makeBundle(t, owner)
	name, state, pidFile := newName(), filepath.Join(bundle, "state"), filepath.Join(bundle, "pid")
	configureRunc(t, bundle, userns)
	stop := func() {
		output, err := try("runc", "--root", state, "delete", "--force", name)
		require.NoError(t, err, output)
	}
	output, err := try("runc", "--root", state, "run", "--detach", "--pid-file", pidFile, "--bundle", bundle, name)
	if err != nil {
		_, _ = try("runc", "--root", state, "delete", "--force", name)
		t.Fatalf("start container of runc: %v: %s", err, output)
	}
	pid, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	return attach(t, name, parsePID(t, string(pid)), stop)
}

type object = map[string]any

// configureRunc writes config.json: the output of runc spec with a few changes.
func configureRunc(t testing.TB, bundle string, userns bool) {
	t.Helper()
	run(t, "runc", "spec", "--bundle", bundle)
	path := filepath.Join(bundle, "config.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var config object
	require.NoError(t, json.Unmarshal(text, &config))

	config["hostname"] = RuncHostname
	config["root"].(object)["readonly"] = false
	process, linux := config["process"].(object), config["linux"].(object)
	process["terminal"], process["args"] = false, []string{"sleep", "100000"}
	namespaces := linux["namespaces"].([]any)
	cgroup := func(n any) bool { return n.(object)["type"] == "cgroup" } // runc adds it where all cgroups are of version 2
	if !slices.ContainsFunc(namespaces, cgroup) {
		namespaces = append(namespaces, object{"type": "cgroup"})
	}
	if userns {
		namespaces = append(namespaces, object{"type": "user"})
		mapping := []object{{"containerID": 0, "hostID": UserBase, "size": 65536}}
		linux["uidMappings"], linux["gidMappings"] = mapping, mapping
	}
	linux["namespaces"] = namespaces
	text, err = json.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
}
