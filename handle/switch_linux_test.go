package handle_test

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// An unprivileged user's root switches between what is theirs.
func TestSwitchingInAUserNamespace(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		testutil.CheckLeaks(t)
		created := create(t, species.CLONE_NEWNET, species.CLONE_NEWUTS, species.CLONE_NEWNS)
		ns := newNetwork(t)
		thread := handle.LockThread()
		defer thread.Unlock()
		for _, visit := range []func(func(), ...handle.Relation) error{handle.Visit, thread.Visit} {
			require.NoError(t, visit(func() { require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET)) }, ns))
			require.NoError(t, visit(func() {
				require.Equal(t, id(t, created[1]), here(t, species.CLONE_NEWUTS))
			}, created[0], created[1]))
		}
		got, err := handle.Execute(func() species.NamespaceID { return forChildren(species.CLONE_NEWNS) },
			created[2], created[0])
		require.NoError(t, err)
		require.Equal(t, id(t, created[2]), got)
		err = handle.Go(func() {}, handle.NamespacePath("/proc/"+itoa(os.Getppid())+"/ns/net"))
		require.Error(t, err, "of the machine, or not to be seen")
	})
}

// Without the links of /proc, pidfds of threads show the way back.
func TestSwitchingWithoutProcLinks(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := newNetwork(t)
	home := here(t, species.CLONE_NEWNET)
	defer sys.Pretend(sys.ProcLinks)()
	require.Equal(t, home, here(t, species.CLONE_NEWNET))
	require.NotEqual(t, home, id(t, create(t, species.CLONE_NEWNET)[0]))
	thread := handle.LockThread()
	defer thread.Unlock()
	for _, visit := range []func(func(), ...handle.Relation) error{handle.Visit, thread.Visit} {
		require.NoError(t, visit(func() { require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET)) }, ns))
		require.Equal(t, home, here(t, species.CLONE_NEWNET))
	}
}

// A /proc that is missing or somebody else's does not mislead visits.
func TestSwitchingWithAForgedProc(t *testing.T) {
	alone(t, species.CLONE_NEWNET, func(t *testing.T) {
		ns := newNetwork(t)
		home := here(t, species.CLONE_NEWNET)
		require.NoError(t, os.MkdirAll("/run/proc/thread-self/ns", 0o755))
		require.NoError(t, os.WriteFile("/run/proc/thread-self/ns/net", nil, 0o600))
		fd := int(ns)
		require.NoError(t, syscall.Mount("/proc/self/fd/"+itoa(fd), "/run/proc/thread-self/ns/net", "", syscall.MS_BIND, ""))
		require.NoError(t, syscall.Mount("/run/proc", "/proc", "", syscall.MS_BIND, ""))
		text, err := os.Readlink("/proc/thread-self/ns/net")
		require.Error(t, err, text)
		require.Equal(t, home, here(t, species.CLONE_NEWNET))
		require.NoError(t, handle.Visit(func() { require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET)) }, ns))
		require.Equal(t, home, here(t, species.CLONE_NEWNET))
		require.NoError(t, syscall.Unmount("/proc", syscall.MNT_DETACH))
	})
}

// What is kept for the life of the process is opened by the process, even if it is first needed in a container.
func TestWhatIsKeptIsNotTheContainers(t *testing.T) {
	testutil.NeedRoot(t)
	rerun(t, nil, func(t *testing.T) {
		target := testutil.StartTarget(t, testutil.TargetOptions{OwnRoot: true})
		process, err := handle.OpenProcess(target.PID)
		require.NoError(t, err)
		defer func() { _ = process.Close() }()
		mnt := process.Namespace(species.CLONE_NEWNS)
		got, err := handle.Execute(func() species.NamespaceID { return here(t, species.CLONE_NEWNET) }, mnt)
		require.NoError(t, err)
		require.Equal(t, here(t, species.CLONE_NEWNET), got)
		root, err := handle.OpenRoot(mnt)
		require.NoError(t, err)
		defer func() { _ = root.Close() }()
		text, err := root.ReadFile("proc/version")
		require.NoError(t, err)
		require.NotEmpty(t, text)
		require.NoError(t, handle.Visit(func() {}, process.Namespace(species.CLONE_NEWPID)))
		_ = newNetwork(t)
	})
}

// soakEnv asks for a million switches: NSOPS_SOAK=1 go test -run Soak -timeout 30m ./handle
const soakEnv = "NSOPS_SOAK"

func TestSoak(t *testing.T) {
	switches := 2_000
	if os.Getenv(soakEnv) != "" {
		switches = 1_000_000
	}
	testutil.CheckLeaks(t)
	ns := newNetwork(t)
	before := selfLinks(t)
	var all sync.WaitGroup
	const goroutines = 8
	for g := range goroutines {
		all.Go(func() {
			for i := range switches / goroutines {
				var err error
				if (g+i)%10 == 0 {
					_, err = handle.Execute(func() any { return nil }, ns)
				} else {
					err = handle.Visit(func() {}, ns)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, before, selfLinks(t))
}

// selfLinks returns the namespaces of the main thread.
func selfLinks(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for of := range species.Set(species.AllNS).All() {
		text, err := os.Readlink("/proc/self/ns/" + of.Name())
		require.NoError(t, err)
		all.WriteString(text + "\n")
	}
	return all.String()
}
