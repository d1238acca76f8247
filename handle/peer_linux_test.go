package handle_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// Code that comes from netns asks package os, which looks into few types of errors.
func TestErrorsOfPeersForPackageOS(t *testing.T) {
	alone(t, species.CLONE_NEWNET, func(t *testing.T) {
		lock(t)
		ns, err := handle.NewNamed("taken")
		require.NoError(t, err)
		_, err = handle.NewNamed("taken")
		require.True(t, os.IsExist(err), "%v", err)
		requirePathError(t, err, "taken", syscall.EEXIST, fs.ErrExist)
		require.NoError(t, ns.Close())

		missing := filepath.Join(t.TempDir(), "missing")
		for name, err := range map[string]error{
			"GetFromName": second(handle.GetFromName("missing")),
			"GetFromPath": second(handle.GetFromPath(missing)),
			"DeleteNamed": handle.DeleteNamed("missing"),
		} {
			require.True(t, os.IsNotExist(err), "%s: %v", name, err)
			require.False(t, os.IsExist(err) || os.IsPermission(err), name)
			requirePathError(t, err, "missing", syscall.ENOENT, fs.ErrNotExist)
		}
		// what says more than package os asks for stays as it is
		_, err = handle.GetFromDocker("0123")
		require.ErrorIs(t, err, handle.ErrUnknownContainer)
	})
}

func TestErrorsOfPeersWithoutRights(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ns, err := handle.Get()
		require.NoError(t, err)
		defer func() { _ = ns.Close() }()
		for name, err := range map[string]error{
			"Set":           handle.Set(ns),
			"Setns":         handle.Setns(ns, handle.CLONE_NEWNET),
			"New":           second(handle.New()),
			"NewNamed":      second(handle.NewNamed("x")),
			"GetFromPid":    second(handle.GetFromPid(os.Getppid())),
			"GetFromThread": second(handle.GetFromThread(os.Getppid(), os.Getppid())),
			"GetFromPath":   second(handle.GetFromPath("/proc/" + strconv.Itoa(os.Getppid()) + "/ns/net")),
		} {
			require.True(t, os.IsPermission(err), "%s: %v", name, err)
			require.False(t, os.IsExist(err) || os.IsNotExist(err), name)
			require.ErrorIs(t, err, fs.ErrPermission, name)
		}
	})
}

// requirePathError checks that nothing is lost of an error that package os understands.
func requirePathError(t *testing.T, err error, name string, causes ...error) {
	t.Helper()
	var e *fs.PathError
	require.ErrorAs(t, err, &e)
	require.NotEmpty(t, e.Op)
	require.Contains(t, e.Path, name)
	for _, cause := range causes {
		require.ErrorIs(t, err, cause)
	}
	require.NotContains(t, err.Error(), "\n")
}

// A process that is gone is ESRCH and fs.ErrNotExist, whatever is asked.
func TestProcessThatIsGone(t *testing.T) {
	testutil.CheckLeaks(t)
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	pid := cmd.Process.Pid
	process, err := handle.OpenProcess(pid)
	require.NoError(t, err)
	defer func() { _ = process.Close() }()
	ref := process.Namespace(species.CLONE_NEWUTS)
	portable, err := handle.NewPortable(ref)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for name, err := range map[string]error{
		"GetFromPid":       second(handle.GetFromPid(pid)),
		"GetFromThread":    second(handle.GetFromThread(pid, pid)),
		"Of GetFromPid":    second(handle.Of(species.CLONE_NEWPID).GetFromPid(pid)),
		"OpenProcess":      second(handle.OpenProcess(pid)),
		"ProcessNamespace": second(ref.ID()),
		"Execute":          second(handle.Execute(func() int { return 0 }, ref)),
		"Visit":            handle.Visit(func() {}, ref),
		"OpenRoot":         second(handle.OpenRoot(process.Namespace(species.CLONE_NEWNS))),
		"TranslatePID":     second(handle.TranslatePID(pid, nil, nil)),
		"Portable":         second(portable.Open()),
	} {
		require.ErrorIs(t, err, syscall.ESRCH, name)
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		require.NotErrorIs(t, err, fs.ErrPermission, name)
		var e *handle.Error
		require.ErrorAs(t, err, &e, name)
	}
	require.False(t, errors.Is(&handle.Error{Op: "open", Ref: "x", Err: syscall.EPERM}, fs.ErrNotExist))
}

// What GetFromPath opens, as that of netns does, can be joined by Setns; Set refuses it.
func TestGetFromPathOfOtherTypes(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: testutil.DefaultTypes.With(species.CLONE_NEWCGROUP)})
	for of := range target.Types().All() {
		ns, err := handle.GetFromPath(target.ProcDir() + "/ns/" + of.Name())
		require.NoError(t, err, of)
		there := target.NamespaceLink(of)
		require.Equal(t, there, id(t, ns).LinkText(of))
		onThrowAwayThread(t, func() {
			err := handle.Set(ns)
			if of == species.CLONE_NEWNET {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, syscall.EINVAL, of)
			require.ErrorContains(t, err, "it is a "+of.Name()+" namespace")
			require.ErrorIs(t, handle.Setns(ns, handle.CLONE_NEWNET), syscall.EINVAL)
			require.NoError(t, handle.Setns(ns, int(of)), of)
			if of != species.CLONE_NEWPID && of != species.CLONE_NEWNS { // where /proc is the target's
				require.Equal(t, there, link(t, of.Name()))
			}
		})
		require.NoError(t, ns.Close())
	}
}
