package handle_test

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestCreateEachType(t *testing.T) {
	both(t, 0, func(t *testing.T) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for of := range species.Set(species.AllNS).All() {
			before := link(t, of.Name())
			created, err := handle.Create(of)
			require.NoError(t, err, of)
			require.Len(t, created, 1)
			found, err := created[0].Type()
			require.NoError(t, err)
			require.Equal(t, of, found)
			require.NotEqual(t, before, id(t, created[0]).LinkText(of))
			require.Equal(t, before, link(t, of.Name()))
			require.NoError(t, created[0].Close())
		}
		_, err := handle.Create(species.CLONE_NEWNET | species.CLONE_NEWUTS)
		require.ErrorIs(t, err, syscall.EINVAL)
		none, err := handle.Create()
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func TestCreateAllOwnedByTheNewUser(t *testing.T) {
	both(t, 0, func(t *testing.T) { checkCreateAll(t) })
}

// A user without any rights can make all of them, as long as one is the user namespace.
func TestCreateUnprivileged(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		checkCreateAll(t)
		_, err := handle.Create(species.CLONE_NEWNET)
		require.ErrorIs(t, err, syscall.EPERM)
		uid := os.Geteuid()
		created, err := handle.Creator{UIDs: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}}.
			Create(species.CLONE_NEWUSER)
		require.NoError(t, err)
		require.NoError(t, created[0].Close())
	})
}

func checkCreateAll(t *testing.T) {
	t.Helper()
	types := []species.NamespaceType{species.CLONE_NEWNET, species.CLONE_NEWUSER}
	for of := range species.Set(species.AllNS).Without(types...).All() {
		types = append(types, of)
	}
	created, err := handle.Create(types...)
	require.NoError(t, err)
	for i, f := range created {
		found, err := f.Type()
		require.NoError(t, err)
		require.Equal(t, types[i], found)
		owner, err := f.User()
		require.NoError(t, err)
		want := created[1]
		if found == species.CLONE_NEWUSER {
			require.Equal(t, here(t, species.CLONE_NEWUSER), id(t, owner))
		} else {
			require.Equal(t, id(t, want), id(t, owner))
		}
		require.NoError(t, owner.Close())
	}
	for _, f := range created {
		require.NoError(t, f.Close())
	}
}

func TestCreateLeavesNothing(t *testing.T) {
	testutil.CheckLeaks(t)
	create(t, species.CLONE_NEWUSER, species.CLONE_NEWPID)
	create(t, species.CLONE_NEWNS, species.CLONE_NEWTIME)
}

// Mounts made in a new mount namespace stay in there.
func TestCreatedMountNamespaceIsPrivate(t *testing.T) {
	alone(t, 0, func(t *testing.T) {
		require.NoError(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""))
		var created []handle.Relation
		for _, types := range [][]species.NamespaceType{{species.CLONE_NEWNS}, {species.CLONE_NEWNS, species.CLONE_NEWPID}} {
			files, err := handle.Create(types...)
			require.NoError(t, err)
			created = append(created, files[0])
		}
		onThrowAwayThread(t, func() {
			ns, err := handle.Of(species.CLONE_NEWNS).New()
			require.NoError(t, err)
			created = append(created, ns)
		})
		for _, ref := range created {
			text, err := handle.Execute(func() string {
				text, err := os.ReadFile("/proc/thread-self/mountinfo")
				require.NoError(t, err)
				return string(text)
			}, ref)
			require.NoError(t, err)
			require.NotEmpty(t, text)
			for line := range strings.Lines(text) {
				optional, _, _ := strings.Cut(line, " - ")
				require.NotContains(t, optional, "shared:")
			}
		}
	})
}
