package scan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

// TestForgedContainers are cgroups of users that have the name of another's container.
func TestForgedContainers(t *testing.T) {
	other := strings.Repeat("f", 64)
	var known []*cgroup
	for _, text := range []string{
		"9:name=systemd:/user.slice/docker-" + id + ".scope\n5:memory:/user.slice\n",            // in an earlier hierarchy
		"9:name=systemd:/user.slice/docker-" + id + ".scope\n5:memory:/docker/" + other + "\n",  // of a container's root
		"9:name=systemd:/docker/" + id + "\n5:memory:/docker/" + id + "\n",                      // the victim
		"9:name=systemd:/user.slice/docker-" + other[1:] + "0.scope\n5:memory:/\n",              // perhaps a rootless container
		"9:name=systemd:/user.slice/a/docker-" + other[1:] + "0.scope\n5:memory:/user.slice/\n", // or not
		"9:name=systemd:/../docker/" + id + "\n",                                                // outside of our cgroup namespace
	} {
		known = append(known, parseCgroup([]byte(text)))
	}
	all, proven := containersIn(known, func(kind string, c *Container) bool {
		require.Contains(t, []string{"memory", "name=systemd"}, kind)
		return !strings.HasPrefix(c.Cgroup, "/user.slice/")
	})
	require.Nil(t, known[0].container)
	require.Equal(t, &Container{ID: other, Runtime: "docker", Cgroup: "/docker/" + other}, known[1].container)
	require.Equal(t, &Container{ID: id, Runtime: "docker", Cgroup: "/docker/" + id}, known[2].container)
	require.True(t, proven[known[1].container] && proven[known[2].container])
	for _, c := range known[3:5] {
		require.NotNil(t, c.container)
		require.False(t, proven[c.container], "it is given no name")
	}
	require.Len(t, all, 4)
	require.Nil(t, known[5].container, "it does not show")
}

func TestProofOfContainers(t *testing.T) {
	testutil.NeedRoot(t)
	memory, unified := t.TempDir(), t.TempDir()
	for _, dir := range []string{"docker/" + id + "/docker/" + id, "user.slice/x/docker-" + id + ".scope", "all/" + id} {
		require.NoError(t, os.MkdirAll(filepath.Join(memory, dir), 0o755))
		require.NoError(t, os.MkdirAll(filepath.Join(unified, dir), 0o755))
	}
	require.NoError(t, os.Chown(filepath.Join(memory, "user.slice"), 64321, 64321))
	require.NoError(t, os.Chown(filepath.Join(memory, "docker", id), 64321, 64321), "a container's root may have its cgroup")
	require.NoError(t, os.Chmod(filepath.Join(memory, "all"), 0o777)) //nolint:gosec // for the test
	h := &hierarchies{all: []hierarchy{{point: memory, root: "/", options: []string{"rw", "memory"}}, {point: unified, root: "/sub"}}}
	for path, want := range map[string]bool{
		"/docker/" + id:                         true,
		"/docker/" + id + "/docker/" + id:       false,
		"/user.slice/x/docker-" + id + ".scope": false,
		"/all/" + id:                            false,
		"/lxc.payload.web/docker/" + id:         false,
		"/none/docker/" + id:                    false,
	} {
		if c := containerOf(path); c != nil {
			require.Equal(t, want, h.proof("memory", c), path)
		}
	}
	require.True(t, h.proof("", &Container{Cgroup: "/sub/user.slice/x/docker-" + id + ".scope"}), "root has that one")
	require.False(t, h.proof("", &Container{Cgroup: "/docker/" + id}), "it is not to be seen")
	require.False(t, h.proof("pids", &Container{Cgroup: "/docker/" + id}))
	require.False(t, (*hierarchies)(nil).proof("memory", &Container{Cgroup: "/docker/" + id}))
}
