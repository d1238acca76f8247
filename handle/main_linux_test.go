package handle_test

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// TestMain runs the tests of the package, or one that runs alone.
func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) != "" {
		runNode()
		os.Exit(0)
	}
	if os.Getenv(privateEnv) != "" {
		os.Exit(m.Run()) // whatever is left ends with its namespaces
	}
	os.Exit(testutil.Run(m))
}

// create makes namespaces that the end of the test closes.
func create(t testing.TB, types ...species.NamespaceType) []*handle.NamespaceFile {
	t.Helper()
	if os.Geteuid() != 0 {
		testutil.NeedRoot(t)
	}
	created, err := handle.Create(types...)
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, f := range created {
			_ = f.Close()
		}
	})
	return created
}

// newNetwork makes a network namespace that the end of the test closes.
func newNetwork(t testing.TB) handle.NsHandle {
	t.Helper()
	ns, err := create(t, species.CLONE_NEWNET)[0].Handle()
	require.NoError(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// lock locks the test to its thread, which is not the main one, until the end.
func lock(t testing.TB) {
	t.Helper()
	thread := handle.LockThread()
	t.Cleanup(thread.Unlock)
}

// link returns the calling thread's link of that name.
func link(t testing.TB, name string) string {
	t.Helper()
	text, err := os.Readlink("/proc/thread-self/ns/" + name)
	require.NoError(t, err)
	return text
}

// here returns the ID of the calling thread's namespace.
func here(t testing.TB, of species.NamespaceType) species.NamespaceID {
	t.Helper()
	ns, err := handle.Of(of).Get()
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	return id(t, ns)
}

func id(t testing.TB, ref handle.Relation) species.NamespaceID {
	t.Helper()
	found, err := ref.ID()
	require.NoError(t, err)
	return found
}

// isOwned reports whether the caller's namespace of that type belongs to the caller's user namespace, or to one below. In
// a container, some may belong to one above: then nobody inside can join it again.
func isOwned(t testing.TB, of species.NamespaceType) bool {
	t.Helper()
	f, err := os.Open("/proc/thread-self/ns/" + of.Name())
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	owner, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if errors.Is(err, syscall.EPERM) {
		return false
	}
	require.NoError(t, err)
	require.NoError(t, syscall.Close(owner))
	return true
}

// owned returns those of the types of which the caller can join its own namespace again. For each other one there is a
// test that is skipped.
func owned(t *testing.T, types ...species.NamespaceType) []species.NamespaceType {
	t.Helper()
	return slices.DeleteFunc(types, func(of species.NamespaceType) bool {
		if isOwned(t, of) {
			return false
		}
		t.Run(of.Name(), func(t *testing.T) {
			testutil.Skip(t, "needs a "+of.Name()+" namespace that belongs to its user namespace, or to one below")
		})
		return true
	})
}

// onThrowAwayThread runs body on a thread that ends with it.
func onThrowAwayThread(t *testing.T, body func()) {
	t.Helper()
	_, err := handle.Execute(func() any { body(); return nil })
	require.NoError(t, err)
}

// privateEnv holds the name of the test that runs by itself.
const privateEnv = "NSOPS_TEST_ALONE"

// alone runs body in a process of its own with new namespaces, where it cannot do harm: /run is empty and the mounts
// are private. As root it needs no user namespace.
func alone(t *testing.T, flags species.NamespaceType, body func(t *testing.T)) {
	t.Helper()
	rerun(t, &syscall.SysProcAttr{Cloneflags: uintptr(flags | species.CLONE_NEWNS)}, func(t *testing.T) {
		require.NoError(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
		hideRun(t)
		body(t)
	})
}

// hideRun mounts an empty /run over one in which a namespace has been pinned, as on machines that have been used: the
// mounts below are hidden, but stay in the table of mounts.
func hideRun(t *testing.T) {
	t.Helper()
	mount := func(from, at, fsType string, flags uintptr) {
		require.NoError(t, syscall.Mount(from, at, fsType, flags, ""))
	}
	mount("none", "/run", "tmpfs", 0)
	require.NoError(t, os.Mkdir("/run/netns", 0o755))
	require.NoError(t, os.WriteFile("/run/netns/hidden", nil, 0o400))
	mount("/run/netns", "/run/netns", "", syscall.MS_BIND)
	mount("/proc/self/ns/net", "/run/netns/hidden", "", syscall.MS_BIND)
	mount("none", "/run", "tmpfs", 0)
	t.Cleanup(func() {
		for range 2 {
			require.NoError(t, syscall.Unmount("/run", syscall.MNT_DETACH))
		}
	})
}

// unprivileged runs body in a process of its own, as a user without any rights.
func unprivileged(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	rerun(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64321, Gid: 64321}}, body)
}

func rerun(t *testing.T, how *syscall.SysProcAttr, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(privateEnv) == t.Name() {
		body(t)
		return
	}
	testutil.NeedRoot(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$",
		"-test.v", "-test.count=1", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), privateEnv+"="+t.Name())
	cmd.SysProcAttr = how
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	if strings.Contains(string(output), "--- SKIP: "+t.Name()+" ") {
		testutil.Skip(t, string(output))
	}
	require.Contains(t, string(output), "--- PASS: "+t.Name()+" ", "%s", output)
}

// both runs body as root of the machine, and as an unprivileged user's root.
func both(t *testing.T, flags species.NamespaceType, body func(t *testing.T)) {
	t.Helper()
	t.Run("root", func(t *testing.T) { alone(t, flags, body) })
	t.Run("userns", func(t *testing.T) {
		testutil.InUserns(t, func(t *testing.T) {
			hideRun(t)
			body(t)
		})
	})
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	testutil.NeedCommand(t, name)
	output, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), output)
	return strings.TrimSpace(string(output))
}
