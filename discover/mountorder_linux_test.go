package discover_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// TestMountsOnAHiddenPath mounts over a tree of mounts, and again on the path of one that is out of sight.
func TestMountsOnAHiddenPath(t *testing.T) {
	testutil.NeedRoot(t)
	base := t.TempDir()
	deep := base + "/a/b/c/e/f"
	var inode uint64
	onThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
		for i, point := range []string{base, base + "/a/b", base + "/a/b/c", base + "/a/b/c", deep, base + "/a", deep} {
			require.NoError(t, os.MkdirAll(point, 0o700))
			require.NoError(t, unix.Mount([]string{"0", "1", "2", "3", "4", "5", "6"}[i], point, "tmpfs", 0, "size=64k"))
		}
		var st unix.Stat_t
		require.NoError(t, unix.Stat("/proc/thread-self/ns/mnt", &st))
		inode = st.Ino
	})
	r := full(t)
	for _, table := range r.Mounts {
		if table.Namespace != r.Namespace(species.NamespaceIDFromInode(inode)) {
			continue
		}
		for point, want := range map[string][]string{base: {"0"}, base + "/a/b": {"1"}, base + "/a/b/c": {"2", "3"},
			base + "/a": {"5"}, deep: {"4", "6"}} {
			require.Equal(t, want, sourcesOf(table.Path(point)), point)
		}
		require.Equal(t, "6", table.Path(deep).Visible().Source)
		require.Nil(t, table.Path(base+"/a/b").Visible())
		return
	}
	require.Fail(t, "no table")
}

func sourcesOf(p *discover.MountPath) (sources []string) {
	for _, m := range p.Mounts {
		sources = append(sources, m.Source)
	}
	return sources
}
