package container

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

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
	all := []Hierarchy{{Point: memory, Root: "/", Top: "/", options: []string{"rw", "memory"}}, {Point: unified, Root: "/sub", Top: "/sub"}}
	var trust sys.Trust
	proof := func(kind string, c *Container) bool {
		in, _ := Find(all, kind, c.Cgroup)
		return in != nil && in.Proves(c, trust.OnlyTrustedMayMake)
	}
	for path, want := range map[string]bool{
		"/docker/" + id:                         true,
		"/docker/" + id + "/docker/" + id:       false,
		"/user.slice/x/docker-" + id + ".scope": false,
		"/all/" + id:                            false,
		"/lxc.payload.web/docker/" + id:         false,
		"/none/docker/" + id:                    false,
	} {
		if c := Of(path); c != nil {
			require.Equal(t, want, proof("memory", c), path)
		}
	}
	require.True(t, proof("", &Container{Cgroup: "/sub/user.slice/x/docker-" + id + ".scope"}), "root has that one")
	require.False(t, proof("", &Container{Cgroup: "/docker/" + id}), "it is not to be seen")
	require.False(t, proof("pids", &Container{Cgroup: "/docker/" + id}))
}

// TestProofBehindABindMount has the cgroup of a container mounted elsewhere: what is in there is inside it all the same.
func TestProofBehindABindMount(t *testing.T) {
	all := Hierarchies([]byte("26 18 0:23 / /cg rw - cgroup cgroup rw,memory\n27 18 0:23 /docker/" + id + " /other rw - cgroup cgroup rw,memory\n"))
	require.Len(t, all, 2)
	anybody := func(string, string) bool { return true }
	forged := At("/docker/" + id + "/docker/" + id)
	for i := range all {
		require.False(t, all[i].Proves(forged, anybody), all[i].Point)
	}
	require.True(t, all[1].Proves(At("/docker/"+id), anybody))

	// in a container without a cgroup namespace nothing else is to be seen
	all = Hierarchies([]byte("27 18 0:23 /docker/" + id + " /other rw - cgroup cgroup rw,memory\n"))
	require.True(t, all[0].Proves(forged, anybody))
	require.False(t, all[0].Proves(At("/docker/"+id+"/docker/"+id+"/default/web"), anybody))
}
