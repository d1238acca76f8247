package discover_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestJSONRoundTrip(t *testing.T) {
	testutil.NeedRoot(t)
	pinned(t)
	testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	inThisProcess(t)
	r := full(t)
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var again discover.Result
	require.NoError(t, json.Unmarshal(text, &again))
	second, err := json.Marshal(&again)
	require.NoError(t, err)
	require.JSONEq(t, string(text), string(second))

	d := discover.Diff(r, &again)
	require.Empty(t, d.Created)
	require.Empty(t, d.Gone)
	require.Empty(t, d.Changed)
	require.Len(t, again.Namespaces, len(r.Namespaces))
	for i, n := range r.Namespaces {
		m := again.Namespaces[i]
		require.Equal(t, []any{n.ID, n.Serial, n.Type, n.Initial, n.OwnerUID, n.OwnerName, n.Tasks, len(n.Leaders), len(n.Children), len(n.Owned), len(n.StrayTasks), n.Hidden()},
			[]any{m.ID, m.Serial, m.Type, m.Initial, m.OwnerUID, m.OwnerName, m.Tasks, len(m.Leaders), len(m.Children), len(m.Owned), len(m.StrayTasks), m.Hidden()})
	}
	require.Len(t, again.UserRoots(), len(r.UserRoots()))
	require.Len(t, again.Mounts, len(r.Mounts))
	require.Equal(t, r.Problems, again.Problems)
}

func FuzzUnmarshal(f *testing.F) {
	r, err := discover.Discover(context.Background(), discover.Options{Sources: discover.Full})
	require.NoError(f, err)
	r.Processes, r.Mounts = r.Processes[:1], nil
	if text, err := json.Marshal(r); err == nil {
		f.Add(text)
	}
	f.Add([]byte(`{"version":1,"device":4,"namespaces":[{"inode":1,"type":"user","parent":1,"owner":1},{"inode":1,"type":"user"}],"processes":[{"pid":1,"ppid":1,"namespaces":{"user":1},"tasks":[{"namespaces":{"user":1}}]}]}`))
	f.Add([]byte(`{"version":1,"mounts":[{"mounts":[{"id":1,"parent":1,"point":"/"},{"id":2,"parent":1,"point":"a"},{"id":1,"parent":2}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r discover.Result
		if r.UnmarshalJSON(text) != nil {
			return
		}
		discover.NewPIDMap(&r)
		discover.Diff(&r, &r)
		once, err := json.Marshal(&r)
		require.NoError(t, err)
		var again discover.Result
		require.NoError(t, json.Unmarshal(once, &again), "%s", once)
		twice, err := json.Marshal(&again)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
	})
}

func TestPIDMap(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Setup: "unshare --pid --fork sh -c 'sleep 1000; true' & sleep 0.1"})
	r := full(t)
	m := discover.NewPIDMap(r)
	outer := r.Process(pid()).Namespaces.Of(species.CLONE_NEWPID)
	inner := r.Process(target.PID).Namespaces.Of(species.CLONE_NEWPID)
	require.Equal(t, 1, m.Translate(target.PID, outer, inner))
	require.Equal(t, target.PID, m.Translate(1, inner, outer))
	require.Zero(t, m.Translate(pid(), outer, inner))
	require.Equal(t, []discover.NamespacedPID{{PID: target.PID, Namespace: outer}, {PID: 1, Namespace: inner}}, m.NamespacedPIDs(1, inner))
	require.Contains(t, m.PIDs(inner), 1)
	require.Len(t, inner.Children, 1)
	innermost := inner.Children[0]
	require.Same(t, inner, innermost.Parent)
	for _, p := range innermost.Processes {
		require.Len(t, discover.NSpid(p), 3)
		text, err := exec.Command("grep", "NSpid", "/proc/"+strconv.Itoa(p.PID)+"/status").Output()
		require.NoError(t, err)
		var want []string
		for _, n := range discover.NSpid(p) {
			want = append(want, strconv.Itoa(n))
		}
		require.Equal(t, want, strings.Fields(string(text))[1:])
	}
	threads := 0
	for _, task := range r.Process(pid()).Tasks {
		require.Equal(t, task.TID, m.Translate(task.TID, outer, outer))
		threads++
	}
	require.NotZero(t, threads)
}

func TestDiff(t *testing.T) {
	testutil.NeedRoot(t)
	before := full(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	between := full(t)
	d := discover.Diff(before, between)
	created := map[string]bool{}
	for _, n := range d.Created {
		created[n.String()] = true
	}
	for kind := range testutil.DefaultTypes.All() {
		require.True(t, created[target.NamespaceLink(kind)])
	}
	changed := map[string]bool{}
	for _, c := range d.Changed {
		changed[c.New.String()] = true
	}
	require.True(t, changed[target.NamespaceLink(species.CLONE_NEWUSER)], "it has a process more")
	links := target.NamespaceLinks()
	target.Stop()
	var gone map[string]bool
	require.Eventually(t, func() bool { // the kernel takes its time
		gone = map[string]bool{}
		for _, n := range discover.Diff(between, full(t)).Gone {
			gone[n.String()] = true
		}
		return gone[links["net"]] && gone[links["pid"]] && gone[links["mnt"]]
	}, patience, 50*time.Millisecond)
}

func TestRescan(t *testing.T) {
	testutil.NeedRoot(t)
	all := inThisProcess(t)
	pins := pinned(t)
	first := full(t)
	second, err := discover.Rescan(t.Context(), first)
	require.NoError(t, err)
	requireTruth(t, second, append(all, pins...))
	third, err := discover.Rescan(t.Context(), second)
	require.NoError(t, err)
	requireTruth(t, third, append(all, pins...))
	own := third.Process(pid())
	require.Equal(t, first.Process(pid()).Cmdline, own.Cmdline)
	require.NotEmpty(t, own.Cmdline)

	target := testutil.StartTarget(t, testutil.TargetOptions{})
	fourth, err := discover.Rescan(t.Context(), third)
	require.NoError(t, err)
	require.Equal(t, target.NamespaceLink(species.CLONE_NEWNET), fourth.Process(target.PID).Namespaces.Of(species.CLONE_NEWNET).String())
	target.Stop()
	fifth, err := discover.Rescan(t.Context(), fourth)
	require.NoError(t, err)
	require.Nil(t, fifth.Process(target.PID))
}

// TestAgreesWithLsns compares with lsns(8) what it is right about: the processes of namespaces that have some, are the
// same before and after it runs, and do not have itself. Of these it names the one with the lowest PID, which is not the
// leader where PIDs have begun anew.
func TestAgreesWithLsns(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "lsns")
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000, Setup: "sleep 1000 &"})
	before := full(t)
	text, err := exec.Command("lsns", "-n", "-r", "-o", "NS,TYPE,NPROCS,PID,UID").Output()
	if err != nil {
		testutil.Skip(t, "lsns fails where a process ends while it looks, or has a line break in its name")
	}
	after := full(t)
	theirs := map[uint64][]string{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		ino, err := strconv.ParseUint(fields[0], 10, 64)
		require.NoError(t, err)
		theirs[ino] = fields[1:]
	}
	own := func(n *discover.Namespace) []string {
		if n == nil || n.Leader == nil || n.Initial || before.Process(pid()).Namespaces.Of(n.Type) == before.Namespace(n.ID) {
			return nil
		}
		first := n.Processes[0]
		return []string{n.Type.Name(), strconv.Itoa(len(n.Processes)), strconv.Itoa(first.PID), strconv.Itoa(first.UID)}
	}
	compared := 0
	for _, n := range before.Namespaces {
		if want := own(n); want != nil && slices.Equal(want, own(after.Namespace(n.ID))) {
			require.Equal(t, want, theirs[n.ID.Ino], "%v", n)
			if n.Leader.PID == target.PID {
				compared++
			}
		}
	}
	require.Equal(t, 8, compared)
	for ino, fields := range theirs {
		id := species.NamespaceIDFromInode(ino)
		_, err := os.Stat("/proc/" + fields[2]) // one that came and went between, with its process
		require.True(t, before.Namespace(id) != nil || after.Namespace(id) != nil || os.IsNotExist(err), "%v", fields)
	}
}
