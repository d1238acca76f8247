package runtimes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/testutil/runtimes"
	"github.com/nsops/nsops/species"
)

func TestMain(m *testing.M) { os.Exit(testutil.Run(m)) }

func TestRuncLeavesNothing(t *testing.T) {
	for name, userns := range map[string]bool{"root": false, "userns": true} {
		t.Run(name, func(t *testing.T) {
			target := checkContainer(t, func() *testutil.Target { return runtimes.StartRunc(t, userns) })
			types := species.Set(species.AllNS).Without(species.CLONE_NEWTIME)
			if !userns {
				types = types.Without(species.CLONE_NEWUSER)
			}
			require.Equal(t, types, target.Types())
			require.Equal(t, runtimes.RuncHostname+"\n", target.Sh("hostname"))
		})
	}
}

func TestLXCLeavesNothing(t *testing.T) {
	target := checkContainer(t, func() *testutil.Target { return runtimes.StartLXC(t) })
	require.Equal(t, species.Set(species.AllNS), target.Types())
	require.Equal(t, runtimes.LXCHostname+"\n", target.Sh("hostname"))
}

// LXC must start also where the package uidmap is installed and root has no IDs in /etc/subuid.
func TestLXCWithNewuidmap(t *testing.T) {
	testutil.NeedRoot(t)
	refuse, err := exec.LookPath("false")
	require.NoError(t, err)
	program, err := os.ReadFile(refuse)
	require.NoError(t, err)
	dir := t.TempDir()
	for _, name := range []string{"newuidmap", "newgidmap"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), program, 0o700))
		require.NoError(t, os.Chmod(filepath.Join(dir, name), 0o755|os.ModeSetuid)) // LXC uses it only then
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	runtimes.StartLXC(t)
}

// checkContainer starts a container and checks at the end of the test that nothing is left of it.
func checkContainer(t *testing.T, start func() *testutil.Target) *testutil.Target {
	t.Helper()
	testutil.CheckLeaks(t)
	before := traces(t)
	t.Cleanup(func() { require.Equal(t, before, traces(t)) })
	target := start()
	require.NotEqual(t, before, traces(t))
	require.Equal(t, runtimes.OnlyHereText, target.Sh("cat "+runtimes.OnlyHere))
	require.FileExists(t, filepath.Join(target.Root(), runtimes.OnlyHere))
	return target
}

// traces returns the paths that belong to the containers of this process or to LXC, without those of other test runs.
func traces(t *testing.T) []string {
	t.Helper()
	output, _ := exec.Command("find", "/sys/fs/cgroup", "/run", "-name", "lxc.pivot", "-o", "-name", "*nsops-test-*").Output()
	return slices.DeleteFunc(strings.Fields(string(output)), func(path string) bool {
		return strings.Contains(path, "nsops-test-") && !strings.Contains(path, fmt.Sprintf("nsops-test-%d-", os.Getpid()))
	})
}
