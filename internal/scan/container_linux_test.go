package scan

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var id = strings.Repeat("0123456789abcdef", 4)

func TestContainerOf(t *testing.T) {
	for path, want := range map[string]*Container{
		"/":                                             nil,
		"/init.scope":                                   nil,
		"/user.slice/session-1.scope":                   nil,
		"/docker/" + id:                                 {ID: id, Runtime: "docker"},
		"/docker/" + id + "/nested":                     {ID: id, Runtime: "docker", Cgroup: "/docker/" + id},
		"/a/docker/x/docker/" + id:                      {ID: id, Runtime: "docker"},
		"/system.slice/docker-" + id + ".scope":         {ID: id, Runtime: "docker"},
		"/machine.slice/libpod-" + id + ".scope":        {ID: id, Runtime: "podman"},
		"/machine.slice/libpod-conmon-" + id + ".scope": nil,
		"/kubepods/besteffort/pod1a2b-3c/" + id:         {ID: id, Pod: "1a2b-3c"},
		"/kubepods.slice/kubepods-pod1a_2b.slice/cri-containerd-" + id + ".scope":   {ID: id, Runtime: "containerd", Pod: "1a-2b"},
		"/kubepods.slice/kubepods-burstable-podf_0.slice/crio-" + id + ".scope":     {ID: id, Runtime: "cri-o", Pod: "f-0"},
		"/system.slice/containerd.service/kubepods-pod7.slice:cri-containerd:" + id: {ID: id, Runtime: "containerd"},
		"/default/" + id:   {ID: id},
		"/lxc.payload.web": {ID: "web", Name: "web", Runtime: "lxc"},
		"/lxc.monitor.web": nil,
		"/lxc.payload.":    nil,
		"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope":   nil,
		"/machine.slice/machine-my\\x2db\\xc3\\xb6x.scope": {ID: "my-böx", Name: "my-böx", Runtime: "nspawn"},
		"/machine.slice/systemd-nspawn@.service":           nil,
		"/lxc.payload.web/docker/" + id:                    {ID: id, Runtime: "docker"},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope/container": {ID: id, Runtime: "podman",
			Cgroup: "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope"},
		"/libpod_parent/libpod-" + id:                 {ID: id, Runtime: "podman"},
		"/machine.slice/crio-conmon-" + id + ".scope": nil,
		"/system.slice/containerd.service":            nil,
		"/docker/buildkit/" + id[:25]:                 nil,
		"/system.slice/runc-" + id + ".scope":         {ID: id, Runtime: "runc"},
		"/kubepods/burstable/podabc/crio-" + id:       {ID: id, Runtime: "cri-o", Pod: "abc"},
		"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1_2.slice/cri-containerd-" + id + ".scope": {ID: id, Runtime: "containerd", Pod: "1-2"},
		"/lxc/web/init.scope": {ID: "web", Name: "web", Runtime: "lxc", Cgroup: "/lxc/web"},
		"/machine.slice/systemd-nspawn@my\\x2dbox.service/payload": {ID: "my-box", Name: "my-box", Runtime: "nspawn",
			Cgroup: "/machine.slice/systemd-nspawn@my\\x2dbox.service"},
	} {
		if want != nil && want.Cgroup == "" {
			want.Cgroup = path
		}
		got := containerOf(path)
		if want != nil && strings.Contains(path, ":cri-containerd:") {
			want.Pod = got.Pod
		}
		require.Equal(t, want, got, path)
	}
}

func FuzzContainerOf(f *testing.F) {
	f.Add("/kubepods.slice/kubepods-pod1a_2b.slice:cri-containerd:" + id)
	f.Add("relative/docker-.scope")
	f.Add("::")
	f.Fuzz(func(t *testing.T, path string) {
		if c := containerOf(path); c != nil {
			require.NotEmpty(t, c.Cgroup)
		}
	})
}

func FuzzCgroup(f *testing.F) {
	f.Add([]byte("1:name=systemd:/a\n5:freezer:/b\n0::/\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { parseCgroup(text) })
}

func TestParseCgroup(t *testing.T) {
	c := parseCgroup([]byte("9:name=systemd:/s\n6:freezer:/f/longer\n0::/\n"))
	require.Equal(t, "/s", c.path)
	require.Equal(t, "/f/longer", c.legacy)
	require.Equal(t, "/", c.unified)
	c = parseCgroup([]byte("0::/a (deleted)\n"))
	require.Equal(t, "/a", c.path)
	require.Equal(t, "/a", c.unified)
	require.Empty(t, c.legacy)
}

// TestContainersOfTheSameName are those of different users and runtimes.
func TestContainersOfTheSameName(t *testing.T) {
	var known []*cgroup
	for _, text := range []string{
		"5:memory:/lxc.payload.web\n1:name=systemd:/lxc.payload.web\n",
		"5:memory:/lxc.payload.web\n1:name=systemd:/lxc.payload.web/below\n",
		"5:memory:/\n1:name=systemd:/lxc.payload.web\n",
		"5:memory:/user/1000/lxc.payload.web\n1:name=systemd:/user.slice/lxc.payload.web\n",
		"5:memory:/machine.slice/machine-web.scope\n1:name=systemd:/machine.slice/machine-web.scope\n",
		"5:memory:/\n1:name=systemd:/\n",
	} {
		known = append(known, parseCgroup([]byte(text)))
	}
	all, proven := containersIn(known, func(string, *Container) bool { return true })
	require.True(t, proven[all[0]])
	require.Len(t, all, 3)
	of := func(i int) *Container { return known[i].container }
	require.Equal(t, []*Container{of(0), of(3), of(4)}, all)
	require.Same(t, of(0), of(1))
	require.Same(t, of(0), of(2))
	require.NotSame(t, of(0), of(3))
	require.Equal(t, []string{"lxc", "nspawn"}, []string{of(3).Runtime, of(4).Runtime})
	require.Nil(t, of(5))
}

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
