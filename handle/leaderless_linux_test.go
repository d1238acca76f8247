package handle_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// onKernels runs a test with what the kernel has, and without what came in 6.11, 6.9 and 5.8.
func onKernels(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	features := []sys.Feature{sys.PidfdNamespaces, sys.PidfdThread, sys.PidfdInode, sys.PidfdInfo, sys.SetnsPidfd}
	for name, missing := range map[string]int{"as it is": 0, "before 6.11": 1, "before 6.9": 4, "before 5.8": 5} {
		t.Run(name, func(t *testing.T) {
			for _, f := range features[:missing] {
				t.Cleanup(sys.Pretend(f))
			}
			test(t)
		})
	}
}

// A process goes on when its first thread ends; its namespaces are those of the others.
func TestProcessWithoutItsFirstThread(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	target := testutil.StartLeaderless(t, species.CLONE_NEWUTS|species.CLONE_NEWNET|species.CLONE_NEWNS|species.CLONE_NEWPID)
	tasks, err := filepath.Glob(target.ProcDir() + "/task/*")
	require.NoError(t, err)
	living := tasks[1]
	want := func(of species.NamespaceType) string {
		text, err := os.Readlink(living + "/ns/" + of.Name())
		require.NoError(t, err)
		return text
	}
	tid, err := strconv.Atoi(filepath.Base(living))
	require.NoError(t, err)
	onKernels(t, func(t *testing.T) {
		testutil.CheckLeaks(t)
		for _, pid := range []int{target.PID, tid} {
			for _, of := range []species.NamespaceType{species.CLONE_NEWNET, species.CLONE_NEWUTS, species.CLONE_NEWUSER, species.CLONE_NEWPID} {
				ns, err := handle.Of(of).GetFromPid(pid)
				require.NoError(t, err, of)
				require.Equal(t, want(of), id(t, ns).LinkText(of))
				require.NoError(t, ns.Close())
			}
			process, err := handle.OpenProcess(pid)
			require.NoError(t, err)
			refs := process.Namespaces(species.CLONE_NEWUTS, species.CLONE_NEWNET)
			there, err := handle.Execute(func() string { return link(t, "net") }, refs...)
			require.NoError(t, err)
			require.Equal(t, want(species.CLONE_NEWNET), there)
			require.NoError(t, handle.Visit(func() { there = link(t, "uts") }, refs...))
			require.Equal(t, want(species.CLONE_NEWUTS), there)
			portable, err := handle.NewPortable(process.Namespace(species.CLONE_NEWUTS))
			require.NoError(t, err)
			found, err := portable.Open()
			require.NoError(t, err)
			require.Equal(t, want(species.CLONE_NEWUTS), id(t, found).LinkText(species.CLONE_NEWUTS))
			require.NoError(t, found.Close())
			root, err := handle.OpenRoot(process.Namespace(species.CLONE_NEWNS))
			require.NoError(t, err)
			require.NoError(t, root.Close())
			require.NoError(t, process.Close())
		}
		ns, err := handle.GetFromThread(target.PID, tid)
		require.NoError(t, err)
		require.Equal(t, want(species.CLONE_NEWNET), id(t, ns).LinkText(species.CLONE_NEWNET))
		require.NoError(t, ns.Close())
	})
	process, err := handle.OpenProcess(tid)
	require.NoError(t, err)
	defer func() { _ = process.Close() }()
	target.Stop()
	_, err = process.Namespace(species.CLONE_NEWUTS).ID()
	require.ErrorIs(t, err, syscall.ESRCH)
	require.ErrorIs(t, err, handle.ErrStale)
}
