package handle_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func FuzzPortable(f *testing.F) {
	f.Add([]byte(`{"id":{"dev":4,"ino":4026531833},"type":"net","path":"/proc/self/ns/net"}`))
	f.Add([]byte(`{"id":{"dev":4,"ino":1},"type":"uts","pid":1,"start":1}`))
	f.Add([]byte(`{"type":"mnt","serial":4}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p handle.Portable
		if json.Unmarshal(text, &p) != nil {
			return
		}
		again, err := json.Marshal(p)
		require.NoError(t, err)
		var same handle.Portable
		require.NoError(t, json.Unmarshal(again, &same))
		require.Equal(t, p.String(), same.String())
		if ns, err := p.Open(); err == nil {
			require.Equal(t, p.NSID.Ino, id(t, ns).Ino)
			require.NoError(t, ns.Close())
		}
	})
}

func TestPortableReferences(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	process, err := handle.OpenProcess(target.PID)
	require.NoError(t, err)
	defer func() { _ = process.Close() }()
	ns := newNetwork(t)
	for _, ref := range []handle.Relation{
		process.Namespace(species.CLONE_NEWUTS), handle.NamespacePath(target.ProcDir() + "/ns/uts"),
		handle.NewTypedNamespacePath(target.ProcDir()+"/ns/uts", species.CLONE_NEWUTS), ns,
	} {
		portable, err := handle.NewPortable(ref)
		testutil.NeedFeature(t, "file handles of namespaces", 6, 18, err)
		text, err := json.Marshal(portable)
		require.NoError(t, err)
		var again handle.Portable
		require.NoError(t, json.Unmarshal(text, &again))
		require.Equal(t, portable, again)
		f, err := again.Open()
		require.NoError(t, err)
		require.Equal(t, id(t, ref), id(t, f))
		require.NoError(t, f.Close())
		for change, changed := range map[string]handle.Portable{
			"ID":     func() handle.Portable { c := again; c.NSID.Ino++; return c }(),
			"serial": func() handle.Portable { c := again; c.Serial++; return c }(),
			"type":   func() handle.Portable { c := again; c.NSType = species.CLONE_NEWIPC; return c }(),
		} {
			if change == "serial" && again.Serial == 0 {
				continue // not this kernel
			}
			_, err := changed.Open()
			require.ErrorIs(t, err, handle.ErrStale, "%s of %s", change, again)
		}
		if again.PID != 0 {
			again.Start++
			_, err := again.Open()
			require.ErrorIs(t, err, handle.ErrStale)
		}
	}
	portable, err := handle.NewPortable(process.Namespace(species.CLONE_NEWUTS))
	require.NoError(t, err)
	path, err := handle.NewPortable(handle.NamespacePath(target.ProcDir() + "/ns/uts"))
	require.NoError(t, err)
	target.Stop()
	for _, gone := range []handle.Portable{portable, path} {
		_, err = gone.Open()
		require.ErrorIs(t, err, handle.ErrStale)
	}
	defer sys.Pretend(sys.NamespaceHandles)()
	_, err = handle.NewPortable(ns)
	require.ErrorIs(t, err, handle.ErrNotSupported)
}

// A pin is taken away and another namespace pinned under its name.
func TestPortableReferenceToAnExchangedPin(t *testing.T) {
	both(t, species.CLONE_NEWNET, func(t *testing.T) {
		network := handle.Of(species.CLONE_NEWNET)
		require.NoError(t, network.Pin("x", newNetwork(t)))
		portable, err := handle.NewPortable(handle.NamespacePath("/run/netns/x"))
		require.NoError(t, err)
		require.NoError(t, handle.DeleteNamed("x"))
		_, err = portable.Open()
		require.ErrorIs(t, err, handle.ErrStale)
		require.NoError(t, os.WriteFile("/run/netns/x", nil, 0o600))
		_, err = portable.Open()
		require.ErrorIs(t, err, handle.ErrStale)
		require.NoError(t, os.Remove("/run/netns/x"))
		require.NoError(t, network.Pin("x", newNetwork(t)))
		_, err = portable.ID()
		require.ErrorIs(t, err, handle.ErrStale)
		require.NoError(t, handle.DeleteNamed("x"))
	})
}
