package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/testutil"
)

var id = strings.Repeat("0123456789abcdef", 4)

const otherUser = 64321

// write writes a file below a folder.
func write(t *testing.T, folder, path, text string) {
	t.Helper()
	path = filepath.Join(folder, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// described returns what is known of a container.
func (e *Engines) described(id, runtime string) container.Container {
	c := container.Container{ID: id, Runtime: runtime}
	e.Describe(&c)
	return c
}

const cri = `{"annotations":{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.sandbox-name":"web-1",
	"io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"1a-2b"}}`

func TestFoldersByDefault(t *testing.T) {
	root := t.TempDir()
	write(t, root, "var/lib/docker/containers/"+id+"/config.v2.json", `{"Name":"/web"}`)
	write(t, root, "var/lib/containers/storage/vfs-containers/containers.json", `[{"id":"`+id+`","names":["db"]}]`)
	write(t, root, "run/containerd/"+tasks+"/k8s.io/"+id+"/config.json", cri)
	e := New(root, nil, nil)
	require.Equal(t, container.Container{ID: id, Runtime: "docker", Name: "web"}, e.described(id, "docker"))
	require.Equal(t, container.Container{ID: id, Runtime: "docker", Name: "web"}, e.described(id, ""))
	require.Equal(t, container.Container{ID: id, Runtime: "podman", Name: "db"}, e.described(id, "podman"))
	require.Equal(t, container.Container{ID: id, Runtime: "containerd", Name: "app", Pod: "1a-2b", PodName: "shop/web-1"}, e.described(id, "containerd"))
	require.Equal(t, container.Container{ID: "../" + id, Runtime: "docker"}, e.described("../"+id, "docker"))
	write(t, root, "var/lib/containers/storage/overlay-containers/containers.json", `[{"id":"`+id+`","names":["k8s_POD_web-1_shop_1a-2b_0"]}]`)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "var/lib/containers/storage/vfs-containers")))
	require.Equal(t, container.Container{ID: id, Runtime: "cri-o", Name: "web-1", Pod: "1a-2b", PodName: "shop/web-1"}, e.described(id, "cri-o"))
}

// TestContainersOfAnyName are those whose cgroup does not say what they are.
func TestContainersOfAnyName(t *testing.T) {
	root := t.TempDir()
	mountinfo := []byte("26 18 0:23 / /cg/memory rw - cgroup cgroup rw,memory\n27 18 0:24 / /cg/unified rw - cgroup2 cgroup2 rw\n")
	write(t, root, "run/runc/web/state.json", `{"id":"web","init_process_pid":7,"cgroup_paths":{"memory":"/cg/memory/a/web","":"/cg/unified/b/web"}}`)
	write(t, root, "run/runc/forged/state.json", `{"id":"other","cgroup_paths":{"memory":"/cg/memory/forged"}}`)
	write(t, root, "run/runc/rootless/state.json", `{"id":"rootless","cgroup_paths":{"":"/cg/unified"}}`)
	write(t, root, "run/crun/db/status", `{"pid":8,"cgroup-path":"/c/db"}`)
	write(t, root, "run/containerd/"+tasks+"/shop/ctr1/config.json", `{"linux":{"cgroupsPath":"/shop/ctr1"}}`)
	e := New(root, container.Hierarchies(mountinfo), nil)
	require.Nil(t, e.At("/a/web"))
	e.Search()
	for cgroup, want := range map[string]container.Container{
		"/a/web":     {ID: "web", Runtime: "runc"},
		"/b/web":     {ID: "web", Runtime: "runc"},
		"/c/db":      {ID: "db", Runtime: "crun"},
		"/shop/ctr1": {ID: "ctr1", Runtime: "containerd"},
	} {
		want.Cgroup = cgroup
		require.Equal(t, &want, e.At(cgroup), cgroup)
	}
	for _, cgroup := range []string{"/", "/forged", "/a", "/a/web/below"} {
		require.Nil(t, e.At(cgroup), cgroup)
	}
	require.Equal(t, container.At("/docker/"+id), e.At("/docker/"+id))
	require.Equal(t, container.At("/docker/"+id), (*Engines)(nil).At("/docker/"+id))
}

func TestArguments(t *testing.T) {
	if !mayHold("/") {
		testutil.Skip(t, "needs a root directory that is root's or ours, or no folder below it counts")
	}
	folder := t.TempDir()
	args := func(text string) []string {
		return strings.Fields(strings.ReplaceAll(strings.ReplaceAll(text, "ID", id), "DIR", folder))
	}
	write(t, folder, "docker/containers/"+id+"/config.v2.json", `{"Name":"/web"}`)
	write(t, folder, "daemon.json", `{"data-root":"`+folder+`/docker"}`)
	write(t, folder, "exec/"+ofDocker+"/moby/"+id+"/config.json", `{"mounts":[{"source":"`+folder+`/docker/containers/`+id+`/hostname"}]}`)
	write(t, folder, "state/"+tasks+"/k8s.io/"+id+"/config.json", cri)
	write(t, folder, "runc/web/state.json", `{"id":"web","cgroup_paths":{"":"/cg/web"}}`)
	write(t, folder, "crun/web/status", `{"cgroup-path":"/web"}`)
	docker := container.Container{ID: id, Runtime: "docker", Name: "web"}
	for _, row := range []struct {
		program, args, dir string
		want               container.Container
	}{
		{"dockerd", "dockerd --data-root DIR/docker", "/", docker},
		{"dockerd", "dockerd -g=DIR/docker -H unix:///x", "/", docker},
		{"dockerd", "dockerd --config-file=DIR/daemon.json", "/", docker},
		{"dockerd", "dockerd --exec-root=DIR/exec", "/", docker},
		{"containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2 -namespace moby -id ID -address /x.sock", folder + "/exec/" + ofDocker + "/moby/" + id, docker},
		{"containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2 -namespace moby -id ID", "/", container.Container{ID: id, Runtime: "docker"}},
		{"containerd", "containerd --state DIR/state", "/", container.Container{ID: id, Runtime: "containerd", Name: "app", Pod: "1a-2b", PodName: "shop/web-1"}},
		{"conmon", "conmon --api-version 1 -c ID -u ID -r /usr/bin/crun -b /b -p /p -n db --exit-dir /run/libpod/exits", "/", container.Container{ID: id, Runtime: "podman", Name: "db"}},
		{"conmon", "conmon -b /b -c ID --exit-dir /var/run/crio/exits -n k8s_app_web-1_shop_1a-2b_0 -r runc", "/",
			container.Container{ID: id, Runtime: "cri-o", Name: "app", Pod: "1a-2b", PodName: "shop/web-1"}},
		{"conmon", "conmon", "/", container.Container{ID: id}},
		{"bash", "dockerd --data-root DIR/docker", "/", container.Container{ID: id}},
	} {
		e := New(t.TempDir(), nil, nil)
		e.AddProcess(Process{UID: os.Geteuid(), Program: row.program, Args: args(row.args), Dir: row.dir})
		require.Equal(t, row.want, e.described(id, ""), "%s in %s", row.args, row.dir)
	}
	for program, options := range map[string][]string{
		"runc":   {"--root DIR/runc run web", "--root=DIR/runc --debug create web"},
		"crun":   {"--root DIR/crun run web"},
		"conmon": {"-c ID -n x -r /usr/bin/runc --runtime-arg --root=DIR/runc", "-c ID -r crun --runtime-arg --log --runtime-arg=x --runtime-arg --root --runtime-arg=DIR/crun"},
	} {
		for _, option := range options {
			e := New(t.TempDir(), container.Hierarchies([]byte("27 18 0:24 / /cg rw - cgroup2 cgroup2 rw\n")), nil)
			e.AddProcess(Process{UID: os.Geteuid(), Program: program, Args: args(program + " " + option)})
			e.Search()
			require.NotNil(t, e.At("/web"), option)
		}
	}
}

// TestArgumentsOfOthers are those of a process that anybody may have.
func TestArgumentsOfOthers(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "containers/"+id+"/config.v2.json", `{"Name":"/forged"}`)
	e := New(t.TempDir(), nil, nil)
	e.AddProcess(Process{UID: otherUser, Program: "dockerd", Args: []string{"dockerd", "--data-root", folder}})
	e.AddProcess(Process{UID: otherUser, Program: "conmon", Args: []string{"conmon", "-c", id, "-n", "forged"}})
	require.Equal(t, container.Container{ID: id}, e.described(id, ""))
	c := container.Container{ID: id}
	e.DescribeFor(otherUser, &c)
	require.Equal(t, container.Container{ID: id, Runtime: "podman", Name: "forged"}, c, "a container that this user can have made")
	c = container.Container{ID: id, Runtime: "docker"}
	e.DescribeFor(otherUser, &c)
	require.Empty(t, c.Name, "it is not podman's")
}

func TestFoldersThatOthersMayWrite(t *testing.T) {
	testutil.NeedRoot(t)
	top := t.TempDir()
	folder := filepath.Join(top, "a/docker")
	write(t, folder, "containers/"+id+"/config.v2.json", `{"Name":"/web"}`)
	name := func(folder string, served ...string) string {
		e := New(t.TempDir(), nil, nil)
		for _, point := range served {
			e.mountinfo = fmt.Appendf(e.mountinfo, "28 18 0:25 / %s rw - fuse.x x rw\n", point)
		}
		e.AddProcess(Process{Program: "dockerd", Args: []string{"dockerd", "--data-root", folder}})
		return e.described(id, "").Name
	}
	require.Equal(t, "web", name(folder))
	require.Empty(t, name(folder, filepath.Join(top, "a")), "FUSE")
	link := filepath.Join(top, "link")
	require.NoError(t, os.Symlink("a/docker", link))
	require.Equal(t, "web", name(link))
	require.NoError(t, os.Lchown(link, otherUser, otherUser))
	require.Empty(t, name(link))
	require.NoError(t, os.Symlink("loop", filepath.Join(top, "loop")))
	require.Empty(t, name(filepath.Join(top, "loop")))
	require.Empty(t, name("relative"))

	for _, path := range []string{folder, filepath.Dir(folder)} {
		require.NoError(t, os.Chmod(path, 0o777)) //nolint:gosec // for the test
		require.Empty(t, name(folder))
		require.NoError(t, os.Chmod(path, 0o755)) //nolint:gosec // as before
		require.NoError(t, os.Chown(path, otherUser, 0))
		require.Empty(t, name(folder))
		require.NoError(t, os.Chown(path, 0, 0))
	}
	require.Equal(t, "web", name(folder))
}

// TestOddFiles are in the place of those that a runtime writes.
func TestOddFiles(t *testing.T) {
	root := t.TempDir()
	write(t, root, "run/runc/long/state.json", `{"id":"long"`+strings.Repeat(" ", maxFile)+`}`)
	write(t, root, "run/runc/odd/state.json", `[[[[`)
	require.NoError(t, os.Mkdir(filepath.Join(root, "run/runc/fifo"), 0o700))
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "run/runc/fifo/state.json"), 0o600))
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "run/crun"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(root, "run/containerd"), 0o700))
	require.NoError(t, os.Symlink("/dev/zero", filepath.Join(root, "run/containerd", tasks)))
	New(root, nil, nil).Search()
}

// start starts this program under another name, with arguments of a runtime's.
func start(t *testing.T, name string, attributes *syscall.SysProcAttr, args ...string) int {
	t.Helper()
	folder := t.TempDir()
	for up := folder; up != os.TempDir(); up = filepath.Dir(up) {
		require.NoError(t, os.Chmod(up, 0o755)) //nolint:gosec // another user starts it
	}
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	program := filepath.Join(folder, name)
	require.NoError(t, os.WriteFile(program, self, 0o755)) //nolint:gosec // it is a program
	require.NoError(t, os.Chmod(program, 0o755))           //nolint:gosec // whatever the umask is
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.SysProcAttr = append(os.Environ(), sleeps+"=1"), attributes
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestLook(t *testing.T) {
	testutil.NeedRoot(t)
	for name, row := range map[string]struct {
		program    string
		attributes *syscall.SysProcAttr
		uid        int
		ok         bool
	}{
		"root's":                    {"conmon", nil, 0, true},
		"another program":           {"conman", nil, 0, false},
		"another user's":            {"conmon", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUser, Gid: otherUser}}, otherUser, true},
		"in another PID namespace":  {"conmon", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}, 0, false},
		"with other mounts":         {"conmon", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}, 0, true},
		"in another user namespace": {"conmon", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, ok := Look("/proc", start(t, row.program, row.attributes))
			require.Equal(t, row.ok, ok)
			if ok {
				require.Equal(t, row.uid, p.UID)
				require.Equal(t, row.program, p.Program)
				require.Equal(t, row.uid == 0, p.Start != 0)
			}
		})
	}
	_, ok := Look("/proc", 1<<30)
	require.False(t, ok)
}

// TestLookIntoAContainer has a process of root's in the cgroup of a container, in no namespace of its own.
func TestLookIntoAContainer(t *testing.T) {
	testutil.NeedRoot(t)
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	hierarchies := container.Hierarchies(mountinfo)
	require.NotEmpty(t, hierarchies)
	dir := filepath.Join(hierarchies[0].Point, "nsops-engines-"+id)
	require.NoError(t, os.Mkdir(dir, 0o755)) //nolint:gosec // for the test
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.Remove(dir) == nil }, 5e9, 1e6)
	})
	pid := start(t, "conmon", nil)
	_, ok := Look("/proc", pid)
	require.True(t, ok)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600))
	_, ok = Look("/proc", pid)
	require.False(t, ok)
}

func TestAddProcesses(t *testing.T) {
	testutil.NeedRoot(t)
	args := []string{"-c", id, "-n", "db"}
	start(t, "conmon", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUser, Gid: otherUser}}, "-c", id, "-n", "forged")
	e := New(t.TempDir(), nil, nil)
	e.AddProcesses("/proc")
	require.Empty(t, e.described(id, "").Name)
	start(t, "conmon", nil, args...)
	e.AddProcesses("/proc")
	require.Equal(t, container.Container{ID: id, Runtime: "podman", Name: "db"}, e.described(id, ""))
}

func FuzzArguments(f *testing.F) {
	f.Add("conmon", "-c\x00"+id+"\x00-n\x00k8s_a_b_c_d_e")
	f.Add("containerd-shim", "-namespace\x00-id")
	f.Add("runc", "--root=")
	f.Fuzz(func(_ *testing.T, program, args string) {
		e := New("/nowhere", nil, nil)
		e.AddProcess(Process{UID: otherUser, Program: program, Args: strings.Split(args, "\x00")})
	})
}
