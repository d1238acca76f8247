package facts

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/species"
)

// TestResolve has rows in any order, which refer to each other by inode numbers.
func TestResolve(t *testing.T) {
	f := &Facts{
		Namespaces: []Namespace{
			{Inode: 20, Type: species.CLONE_NEWNET, Owner: 30, References: []Reference{{Kind: ByPin, MountNamespace: 40}}},
			{Inode: 40, Type: species.CLONE_NEWNS},
			{Inode: 30, Type: species.CLONE_NEWUSER},
		},
		Processes:  []Process{{PID: 7, PPID: 3, Start: 2, Container: 1}, {PID: 3, Start: 1}},
		Containers: []Container{{ID: "web"}},
		Mounts:     []MountTable{{Namespace: 40}},
	}
	for i := range f.Processes {
		f.Processes[i].Namespaces[Net] = 20
	}
	require.NoError(t, f.Resolve())
	net := f.Namespace(f.Find(species.CLONE_NEWNET, 20))
	require.Equal(t, uint64(20), net.Inode)
	require.Equal(t, uint64(30), f.Namespace(net.Owner).Inode)
	require.Equal(t, f.Mounts[0].Namespace, net.References[0].MountNamespace)
	require.Zero(t, f.Find(species.CLONE_NEWUTS, 20))
	require.Same(t, net, f.Namespace(f.Processes[0].Namespaces[Net]))
	require.Equal(t, []int{0, 1, -1}, []int{f.Process(3), f.Process(7), f.Process(5)})
	require.Equal(t, []int{-1, 0}, []int{f.Parent(0), f.Parent(1)})
	require.True(t, f.IsLeader(0))
	require.False(t, f.IsLeader(1), "its parent is in the same namespace")
	f.Processes[0].Start = 3
	require.Equal(t, -1, f.Parent(1), "another process has the PID by now")
	require.Error(t, (&Facts{Namespaces: []Namespace{{Inode: 1 << 32, Type: species.CLONE_NEWNET}}}).Resolve())
}

// TestRowsInJSON has values that are written as something else than they are.
func TestRowsInJSON(t *testing.T) {
	p := Process{PID: 1, State: 'S', Container: 1, Cmdline: Texts{"a\xff", ""}}
	p.Namespaces[Mnt], p.Namespaces[PIDForChildren] = 4026531841, 5
	text, err := json.Marshal(p)
	require.NoError(t, err)
	var place Place
	require.NoError(t, json.Unmarshal([]byte("null"), &place))
	require.Zero(t, place)
	require.Error(t, json.Unmarshal([]byte("-1"), &place))
	var members map[string]any
	require.NoError(t, json.Unmarshal(text, &members))
	require.Equal(t, map[string]any{"mnt": 4026531841.0, "pid_for_children": 5.0}, members["namespaces"])
	require.Equal(t, []any{map[string]any{"base64": "Yf8="}, ""}, members["cmdline"])
	require.Equal(t, []any{"S", 0.0}, []any{members["state"], members["container"]})
	var again Process
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, p, again)
	for _, wrong := range []string{`{"container":-1}`, `{"state":1}`, `{"namespaces":[]}`, `{"cmdline":"a"}`, `{"uid":"root"}`} {
		require.Error(t, json.Unmarshal([]byte(wrong), &again), wrong)
	}
}

func TestWords(t *testing.T) {
	for s := None; s <= PathFDs; s <<= 1 {
		found, unknown := ParseSources(s.String())
		require.Equal(t, s, found)
		require.Empty(t, unknown)
	}
	_, unknown := ParseSources("fds,socks")
	require.Equal(t, "socks", unknown)
	for k := ByProcess; k <= ByKernel; k++ {
		var again Kind
		require.NoError(t, again.UnmarshalText([]byte(k.String())))
		require.Equal(t, k, again)
	}
	require.Error(t, new(Kind).UnmarshalText([]byte("hand")))
}
