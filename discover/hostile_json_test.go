package discover_test

import (
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/species"
)

// document is JSON of a result with these members beside the necessary ones.
func document(members string) string {
	return `{"version":1,"device":4,"types":"net","sources":"processes",` + members + `}`
}

func TestHostileJSON(t *testing.T) {
	user := func(inode, parent int) string {
		return fmt.Sprintf(`{"inode":%d,"type":"user","owner":%d,"parent":%d}`, inode, parent, parent)
	}
	process := func(pid, ppid int) string { return fmt.Sprintf(`{"pid":%d,"ppid":%d,"namespaces":{}}`, pid, ppid) }
	mounts := func(list string) string {
		return `"namespaces":[{"inode":1,"type":"mnt"}],"mounts":[{"namespace":1,"mounts":[` + list + `]}]`
	}
	for name, members := range map[string]string{
		"own parent":               `"namespaces":[` + user(1, 1) + `]`,
		"cycle of parents":         `"namespaces":[` + user(1, 2) + `,` + user(2, 3) + `,` + user(3, 1) + `]`,
		"cycle of owners":          `"namespaces":[{"inode":1,"type":"user","owner":2},{"inode":2,"type":"user","owner":1}]`,
		"dangling owner":           `"namespaces":[{"inode":1,"type":"net","owner":2}]`,
		"owner of another type":    `"namespaces":[{"inode":1,"type":"net","owner":2},{"inode":2,"type":"net"}]`,
		"two with a number":        `"namespaces":[{"inode":1,"type":"net"},{"inode":1,"type":"uts"}]`,
		"without number":           `"namespaces":[{"inode":0,"type":"net"}]`,
		"without type":             `"namespaces":[{"inode":1}]`,
		"parent of a net":          `"namespaces":[{"inode":1,"type":"net","parent":2},{"inode":2,"type":"net"}]`,
		"process its own parent":   `"processes":[` + process(5, 5) + `]`,
		"cycle of processes":       `"processes":[` + process(5, 6) + `,` + process(6, 5) + `]`,
		"two processes with a PID": `"processes":[` + process(5, 1) + `,` + process(5, 1) + `]`,
		"negative PID":             `"processes":[` + process(-5, 1) + `]`,
		"huge PID":                 `"processes":[` + process(math.MaxInt, 1) + `,` + process(1, math.MaxInt) + `]`,
		"huge number":              `"processes":[{"pid":1e400}]`,
		"dangling namespace":       `"processes":[{"pid":1,"ppid":0,"namespaces":{"net":7}}]`,
		"dangling container":       `"processes":[{"pid":1,"ppid":0,"namespaces":{},"container":0}]`,
		"negative container":       `"containers":[{"id":"web"}],"processes":[{"pid":1,"ppid":0,"namespaces":{},"container":-1}]`,
		"container by name":        `"containers":[{"id":"web"}],"processes":[{"pid":1,"ppid":0,"namespaces":{},"container":"web"}]`,
		"mounts of none":           `"mounts":[{"namespace":0,"mounts":[]}]`,
		"cycle of mounts":          mounts(`{"id":1,"parent":2,"point":"/"},{"id":2,"parent":1,"point":"/"}`),
		"two mounts with an ID":    mounts(`{"id":1,"parent":0,"point":"/"},{"id":1,"parent":0,"point":"/"}`),
	} {
		var r discover.Result
		err := r.UnmarshalJSON([]byte(document(members)))
		var own *discover.Error
		require.ErrorAs(t, err, &own, "%s: %s", name, members)
		require.Empty(t, r, "unchanged: %s", name)
	}
}

// TestBloatedJSON has little JSON that would become a lot.
func TestBloatedJSON(t *testing.T) {
	for name, list := range map[string]string{
		"namespaces": `"namespaces":[%s]`,
		"processes":  `"processes":[%s]`,
		"containers": `"containers":[%s]`,
		"problems":   `"problems":[%s]`,
		"references": `"namespaces":[{"inode":1,"type":"net","references":[%s]}]`,
		"tasks":      `"processes":[{"pid":1,"ppid":0,"namespaces":{},"tasks":[%s]}]`,
		"mounts":     `"namespaces":[{"inode":1,"type":"mnt"}],"mounts":[{"namespace":1,"mounts":[%s]}]`,
	} {
		for _, element := range []string{"{}", "[]", "0", `""`, "null"} {
			const size = 1 << 20
			text := []byte(document(fmt.Sprintf(list, strings.Repeat(element+",", size/(len(element)+1))+element)))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var r discover.Result
			err := r.UnmarshalJSON(text)
			runtime.ReadMemStats(&after)
			require.Error(t, err, "%s of %s", name, element)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*size), "%s of %s", name, element)
		}
	}
	var r discover.Result
	derived := `"pidMap":{"a":[` + strings.Repeat("[],", 1<<20) + `[]]},"userRoots":[` + strings.Repeat("0,", 1<<20) + `0]`
	require.NoError(t, r.UnmarshalJSON([]byte(document(derived))), "it is not read")
}

// TestDeepJSON nests deeper than any kernel would, and is done in time.
func TestDeepJSON(t *testing.T) {
	const depth = 50_000
	var namespaces, processes, mounts []string
	for i := 1; i <= depth; i++ {
		namespaces = append(namespaces, fmt.Sprintf(`{"inode":%d,"type":"user","parent":%d}`, i, i-1))
		processes = append(processes, fmt.Sprintf(`{"pid":%d,"ppid":%d,"namespaces":{"user":%d}}`, i, i-1, i))
		mounts = append(mounts, fmt.Sprintf(`{"id":%d,"parent":%d,"point":"/"}`, i, i-1))
	}
	namespaces = append(namespaces, `{"inode":99999,"type":"mnt"}`)
	mounts = append(mounts, `{"id":60000,"parent":1,"point":"`+strings.Repeat("/a", depth)+`"}`)
	text := document(`"namespaces":[` + strings.Join(namespaces, ",") + `],"processes":[` + strings.Join(processes, ",") +
		`],"mounts":[{"namespace":99999,"mounts":[` + strings.Join(mounts, ",") + `]}]`)
	start := time.Now()
	var r discover.Result
	require.NoError(t, r.UnmarshalJSON([]byte(text)))
	require.Less(t, time.Since(start), 10*time.Second)
	require.Len(t, r.UserRoots(), 1)
	_, err := json.Marshal(&r)
	require.NoError(t, err)
}

func TestJSONOfOddNames(t *testing.T) {
	odd := "a\xff\xfe\n"
	n := &discover.Namespace{ID: species.NamespaceID{Dev: 4, Ino: 1}, Type: species.CLONE_NEWNET, OwnerName: odd, OwnerUID: -1}
	mnt := &discover.Namespace{ID: species.NamespaceID{Dev: 4, Ino: 2}, Type: species.CLONE_NEWNS}
	n.References = []discover.Reference{{Kind: discover.ByPin, MountNamespace: mnt, Path: odd}}
	c := &discover.Container{ID: odd, Runtime: "lxc", Name: odd, Cgroup: "/" + odd}
	other := &discover.Container{ID: "a\xfe\xff\n", Runtime: "lxc"}
	p := &discover.Process{PID: 7, Name: odd, Cmdline: []string{odd, ""}, State: 'S', Cgroup: odd, Container: c, Threads: 2}
	p.Namespaces[6] = n
	p.Tasks = []*discover.Task{{Process: p, TID: 8, Name: odd, TIDs: []int{8}}}
	r := &discover.Result{Device: 4, Namespaces: []*discover.Namespace{mnt, n}, Processes: []*discover.Process{p}, Containers: []*discover.Container{c, other},
		Problems: []discover.Problem{{Path: odd, Errno: 13}}, Options: discover.Options{Proc: odd}}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var again discover.Result
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, odd, again.Options.Proc)
	require.Len(t, again.Containers, len(r.Containers))
	for i, c := range r.Containers {
		require.Equal(t, *c, alone(again.Containers[i]))
	}
	require.True(t, again.Containers[0].Leader == again.Processes[0] && slices.Equal(again.Containers[0].Processes, again.Processes))
	require.Nil(t, again.Containers[1].Leader)
	q := again.Process(7)
	require.Equal(t, []any{odd, p.Cmdline, odd, *c, odd}, []any{q.Name, q.Cmdline, q.Cgroup, alone(q.Container), q.Tasks[0].Name})
	m := again.Namespace(n.ID)
	require.Equal(t, odd, m.OwnerName)
	require.Equal(t, odd, m.References[0].Path)
	require.Equal(t, odd, again.Problems[0].Path)
}

// alone returns a container without its processes, which lead everywhere: a text of them all would never end.
func alone(c *discover.Container) discover.Container {
	only := *c
	only.Leader, only.Processes = nil, nil
	return only
}
