package discover

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var id = strings.Repeat("0123456789abcdef", 4)

func TestStateFiles(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write("var/lib/docker/containers/"+id+"/config.v2.json", `{"Name":"/web"}`)
	write("var/lib/containers/storage/overlay-containers/containers.json", `[{"id":"`+id+`","names":["pod"]}]`)
	write("run/containerd/io.containerd.runtime.v2.task/k8s.io/"+id+"/config.json", `{"annotations":{"io.kubernetes.cri.container-name":"app"}}`)
	name := func(runtime string) (string, string) {
		c := &Container{ID: id, Runtime: runtime}
		name, err := StateFiles{root}.NameContainer(context.Background(), c)
		require.NoError(t, err)
		return c.Runtime, name
	}
	for _, want := range [][3]string{{"docker", "docker", "web"}, {"podman", "podman", "pod"}, {"containerd", "containerd", "app"}, {"", "docker", "web"}} {
		runtime, name := name(want[0])
		require.Equal(t, want, [3]string{want[0], runtime, name})
	}
	require.NoError(t, os.RemoveAll(filepath.Join(root, "var/lib/docker")))
	runtime, app := name("")
	require.Equal(t, []string{"containerd", "app"}, []string{runtime, app})
	state := filepath.Join(root, "run/containerd/io.containerd.runtime.v2.task")
	require.NoError(t, os.Rename(filepath.Join(state, "k8s.io"), filepath.Join(state, "moby")))
	runtime, _ = name("")
	require.Equal(t, "docker", runtime, "with its state elsewhere")
	none, err := StateFiles{root}.NameContainer(context.Background(), &Container{ID: "../../etc", Runtime: "docker"})
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestUserNames(t *testing.T) { require.Equal(t, "root", userNames()[0]) }

func FuzzUsers(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\nroot2:x:0:0\n:x:1:\n")
	f.Fuzz(func(t *testing.T, text string) {
		for uid, name := range parseUsers(text) {
			require.NotEmpty(t, name)
			require.Contains(t, text, name+":", "%d", uid)
		}
	})
}

func TestSources(t *testing.T) {
	for _, s := range []Sources{None, Standard, Full, 0, Full &^ Sockets} {
		text, err := s.MarshalText()
		require.NoError(t, err)
		var again Sources
		require.NoError(t, again.UnmarshalText(text))
		require.Equal(t, s, again)
	}
	var s Sources
	var own *Error
	require.ErrorAs(t, s.UnmarshalText([]byte("socks")), &own)
	var k HolderKind
	require.ErrorAs(t, k.UnmarshalText([]byte("socks")), &own)
}
