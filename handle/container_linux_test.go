package handle

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

const (
	idA = "aaaa567890123456789012345678901234567890123456789012345678901234"
	idB = "aabb567890123456789012345678901234567890123456789012345678901234"
	idC = "cccc567890123456789012345678901234567890123456789012345678901234"
	pod = "/kubepods/burstable/pod7f7ba3d0-0000-4000-8000-000000000000/"
)

// trees has the cgroup of container idA, in the hierarchies of a machine.
var trees = map[string][]string{
	"docker, v1, cgroupfs":               {"memory/docker/" + idA, "pids/docker/" + idA, "systemd/docker/" + idA},
	"docker, v1, in a service":           {"memory/system.slice/docker.service/docker/" + idA},
	"docker, v2, systemd":                {"unified/system.slice/docker-" + idA + ".scope"},
	"docker, v2, cgroupfs":               {"unified/docker/" + idA},
	"docker, hybrid":                     {"memory/docker/" + idA, "unified/"},
	"docker, hybrid the other way":       {"memory/", "unified/docker/" + idA},
	"docker, cgroup-parent":              {"unified/my/parent.slice/docker-" + idA + ".scope"},
	"docker, rootless":                   {"unified/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idA + ".scope"},
	"podman, systemd":                    {"unified/machine.slice/libpod-" + idA + ".scope/container"},
	"podman, cgroupfs":                   {"memory/libpod_parent/libpod-" + idA},
	"podman, split":                      {"unified/user.slice/libpod-" + idA + ".scope/supervisor/x", "unified/user.slice/libpod-" + idA + ".scope/payload"},
	"containerd":                         {"unified/system.slice/cri-containerd-" + idA + ".scope", "unified/k8s.io/" + idB},
	"containerd, nerdctl":                {"unified/system.slice/nerdctl-" + idA + ".scope"},
	"kubepods, cgroupfs":                 {"memory" + pod + idA},
	"kubepods, systemd":                  {"unified/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + idA + ".scope"},
	"kubepods, cri-o":                    {"unified/kubepods.slice/kubepods-pod1.slice/crio-" + idA + ".scope"},
	"kubepods, containerd misconfigured": {"unified/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" + idA},
	"an init inside":                     {"unified/docker/" + idA + "/init.scope", "unified/docker/" + idA + "/system.slice/x.service"},
	"docker inside":                      {"unified/docker/" + idA + "/init.scope", "unified/docker/" + idA + "/docker/" + idC},
}

// cgroups makes directories, the container's of which are left to the process; those of others to ours.
func cgroups(t *testing.T, dirs []string, pid int) []container.Hierarchy {
	t.Helper()
	root := t.TempDir()
	hierarchies := map[string]bool{}
	for _, dir := range dirs {
		hierarchy, _, _ := strings.Cut(dir, "/")
		hierarchies[filepath.Join(root, hierarchy)] = true
		path := filepath.Join(root, dir)
		require.NoError(t, os.MkdirAll(path, 0o755))
		procs := "0\n" + strconv.Itoa(pid) + "\n"
		if !strings.Contains(dir, idA) || strings.Contains(dir, idC) || strings.Contains(dir, "supervisor") {
			procs = strconv.Itoa(os.Getpid()) + "\n"
		}
		require.NoError(t, os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(procs), 0o600))
		for up := filepath.Dir(path); len(up) >= len(root); up = filepath.Dir(up) {
			if _, err := os.Stat(filepath.Join(up, "cgroup.procs")); err != nil {
				require.NoError(t, os.WriteFile(filepath.Join(up, "cgroup.procs"), nil, 0o600))
			}
		}
	}
	var all []container.Hierarchy
	for hierarchy := range hierarchies {
		all = append(all, container.Hierarchy{Point: hierarchy, Root: "/", Top: "/"})
	}
	return all
}

func TestContainersInCgroupTrees(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	for name, dirs := range trees {
		t.Run(name, func(t *testing.T) {
			hierarchies := cgroups(t, dirs, target.PID)
			for _, id := range []string{idA, idA[:12], idA[:4], idA[:3]} {
				for _, of := range []Of{network, Of(species.CLONE_NEWUTS)} {
					ns, err := of.fromContainer(id, hierarchies, nil)
					require.NoError(t, err)
					found, err := ns.ID()
					require.NoError(t, err)
					require.Equal(t, target.NamespaceLink(of.t()), found.LinkText(of.t()))
					require.NoError(t, ns.Close())
				}
			}
			for _, id := range []string{"dddd", idA + "0", "a*", "?", "[a]", "docker", "system.slice", "aaaa-", "AAAA"} {
				_, err := network.fromContainer(id, hierarchies, nil)
				require.ErrorIs(t, err, ErrUnknownContainer, id)
				require.ErrorContains(t, err, strconv.Quote(id))
			}
			for _, id := range []string{"", "../x", "a/b"} {
				_, err := network.fromContainer(id, hierarchies, nil)
				require.ErrorIs(t, err, syscall.EINVAL, id)
			}
		})
	}
}

func TestAmbiguousContainers(t *testing.T) {
	testutil.CheckLeaks(t)
	hierarchies := cgroups(t, []string{"unified/docker/" + idA, "memory/docker/" + idA, "memory/docker/" + idB}, os.Getpid())
	_, err := network.fromContainer("aa", hierarchies, nil)
	require.ErrorIs(t, err, ErrAmbiguous)
	require.NotErrorIs(t, err, ErrUnknownContainer)
	require.ErrorContains(t, err, idA+", "+idB)
	ns, err := network.fromContainer("aaaa", hierarchies, nil)
	require.NoError(t, err, "twice, but the same one")
	require.NoError(t, ns.Close())

	// what is left of a container that has ended does not count
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(hierarchies[0].Point), "memory/docker", idB, "cgroup.procs"), nil, 0o600))
	ns, err = network.fromContainer("aa", hierarchies, nil)
	require.NoError(t, err)
	require.NoError(t, ns.Close())
	_, err = network.fromContainer("aabb", hierarchies, nil)
	require.ErrorIs(t, err, ErrUnknownContainer)
	_, err = network.fromContainer(idB, hierarchies, nil)
	require.ErrorIs(t, err, ErrUnknownContainer)
}

// ctr, LXC and systemd-nspawn put a container where it is told, by the name that it is given.
func TestNamedContainers(t *testing.T) {
	testutil.CheckLeaks(t)
	hierarchies := cgroups(t, []string{"unified/default/web", "unified/web2", "unified/lxc.payload.db",
		"unified/machine.slice/machine-my\\x2dbox.scope/payload", "unified/lxc.monitor.mon"}, 0)
	ns, err := network.fromContainer("web", hierarchies, nil)
	require.NoError(t, err)
	require.NoError(t, ns.Close())
	for _, name := range []string{"db", "my-box"} {
		ns, err = network.fromContainer(name, hierarchies, nil)
		require.NoError(t, err)
		require.NoError(t, ns.Close())
	}
	for _, id := range []string{"we", "web2", "default", "default/web", "d", "mon", "payload"} {
		_, err = network.fromContainer(id, hierarchies, nil)
		require.Error(t, err, "not the complete name of a container: %s", id)
	}
}

// A cgroup that somebody named after another's container does not lead to its own namespace.
func TestContainersInDisguise(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	genuine := "unified/system.slice/docker-" + idA + ".scope"
	fill := func(hierarchies []container.Hierarchy, dir string, pid int) {
		path := filepath.Join(filepath.Dir(hierarchies[0].Point), dir, "cgroup.procs")
		require.NoError(t, os.WriteFile(path, []byte(strconv.Itoa(pid)), 0o600))
	}
	for _, inside := range []string{"unified/docker/" + idB + "/" + idA, "unified/a/docker-" + idB + ".scope/x/docker/" + idA} {
		hierarchies := cgroups(t, []string{genuine, inside}, target.PID)
		fill(hierarchies, inside, os.Getpid())
		for _, id := range []string{idA, idA[:4]} {
			ns, err := network.fromContainer(id, hierarchies, nil)
			require.NoError(t, err)
			found, err := ns.ID()
			require.NoError(t, err)
			require.Equal(t, target.NamespaceLink(species.CLONE_NEWNET), found.LinkText(species.CLONE_NEWNET))
			require.NoError(t, ns.Close())
		}
	}
	for id, dirs := range map[string][]string{
		idA:   {genuine, "unified/a/" + idA},
		"web": {"unified/default/web", "unified/lxc/web"},
	} {
		hierarchies := cgroups(t, dirs, target.PID)
		fill(hierarchies, dirs[0], target.PID)
		fill(hierarchies, dirs[1], os.Getpid())
		_, err := network.fromContainer(id, hierarchies, nil)
		require.ErrorIs(t, err, ErrAmbiguous)
		fill(hierarchies, dirs[1], target.PID)
		ns, err := network.fromContainer(id, hierarchies, nil)
		require.NoError(t, err, "twice, but the same one")
		require.NoError(t, ns.Close())
	}
}

// A hierarchy that cannot be looked into, such as one below another mount, does not keep others from being found.
func TestHierarchyThatCannotBeRead(t *testing.T) {
	testutil.CheckLeaks(t)
	hierarchies := append([]container.Hierarchy{{Point: "/nowhere", Root: "/", Top: "/"}}, cgroups(t, []string{"unified/docker/" + idA}, os.Getpid())...)
	ns, err := network.fromContainer(idA, hierarchies, nil)
	require.NoError(t, err)
	require.NoError(t, ns.Close())
	_, err = network.fromContainer(idB, hierarchies, nil)
	require.ErrorIs(t, err, ErrUnknownContainer)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The process of a container has ended by the time it is looked at, and another one has its PID.
func TestMemberThatLeft(t *testing.T) {
	testutil.CheckLeaks(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("1\n"), 0o600))
	_, err := openMember([]cgroup{{dir, "/"}}, os.Getpid(), (*sys.Process).DupPidfd)
	require.ErrorIs(t, err, ErrStale)
}

func FuzzFileHandle(f *testing.F) {
	good, _ := FileHandle{Serial: 7, NSType: species.CLONE_NEWNET, Inode: 9}.MarshalBinary()
	require.Equal(f, []byte{0, 0, 0, 0, 0, 0, 0, 7, 0x40, 0, 0, 0, 0, 0, 0, 9}, good)
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		var h FileHandle
		if err := h.UnmarshalBinary(b); err != nil {
			require.ErrorIs(t, err, syscall.EINVAL)
			return
		}
		again, err := h.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

// A real cgroup, with a real process that is in no namespace of its own.
func TestContainerInARealCgroup(t *testing.T) {
	testutil.CheckLeaks(t)
	testutil.NeedRoot(t)
	text, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	mounts := container.Hierarchies(text)
	require.NotEmpty(t, mounts)
	dir := filepath.Join(mounts[0].Point, "nsops-test-"+idC)
	require.NoError(t, os.Mkdir(dir, 0o755))
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	t.Cleanup(func() {
		target.Stop()
		require.Eventually(t, func() bool { return os.Remove(dir) == nil }, 5e9, 1e6)
	})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(target.PID)), 0o600))
	ns, err := GetFromDocker("cccc5678")
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	found, err := ns.ID()
	require.NoError(t, err)
	require.Equal(t, target.NamespaceLink(species.CLONE_NEWNET), found.LinkText(species.CLONE_NEWNET))
	pidfd, err := OpenContainer("cccc5678")
	require.NoError(t, err)
	defer func() { _ = pidfd.Close() }()
	own, err := sys.DupFD(int(pidfd.Fd()))
	require.NoError(t, err)
	process := sys.NewProcess(own)
	defer func() { _ = process.Close() }()
	its, err := process.NamespaceID(species.CLONE_NEWNET)
	require.NoError(t, err)
	require.Equal(t, found, its)
	_, err = OpenContainer("cccc5679")
	require.ErrorIs(t, err, ErrUnknownContainer)
	var e *Error
	require.ErrorAs(t, err, &e)
	_, err = GetFromDocker("cccc5679")
	require.ErrorIs(t, err, ErrUnknownContainer)
	_, err = GetFromDocker("")
	require.ErrorIs(t, err, syscall.EINVAL)
}
