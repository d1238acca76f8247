package container

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHierarchies(t *testing.T) {
	all := Hierarchies([]byte(
		`24 18 0:21 / /proc rw,nosuid shared:5 - proc proc rw
25 18 0:22 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate
26 18 0:23 / /sys/fs/cgroup/mem\040ory rw - cgroup cgroup rw,memory,cpu
27 18 0:23 / /elsewhere rw - cgroup cgroup rw,memory,cpu
28 18 0:24 /a\040b /c\134 rw shared:1 master:2 - cgroup cgroup rw
29 18 0:25 / /tmp rw - tmpfs cgroup rw
30 nonsense - cgroup
`))
	var points []string
	for _, h := range all {
		points = append(points, h.Point)
	}
	require.Equal(t, []string{`/c\`, "/elsewhere", "/sys/fs/cgroup/unified"}, points)
	require.Equal(t, `/c\/x`, all[0].Dir("/a b/x"))
	require.Equal(t, "/a b/x", all[0].Cgroup(`/c\/x`))
	require.Equal(t, "/a b", all[0].Cgroup(`/c\`))
	require.Empty(t, all[0].Dir("/a bc"))
	for kind, want := range map[string]string{"": "/sys/fs/cgroup/unified/x", "memory": "/elsewhere/x", "cpu,memory": "/elsewhere/x", "pids": ""} {
		_, dir := Find(all, kind, "/x")
		require.Equal(t, want, dir, kind)
	}
}

func FuzzHierarchies(f *testing.F) {
	f.Add([]byte("25 18 0:22 / /sys/fs/cgroup\\040x rw shared:9 - cgroup2 cgroup2 rw\n"))
	f.Add([]byte("a b c d e f - cgroup"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, h := range Hierarchies(text) {
			require.LessOrEqual(t, len(h.Point), len(text))
			require.LessOrEqual(t, len(h.Top), len(h.Root))
		}
	})
}
