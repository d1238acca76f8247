package discover_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// TestConcurrentDiscoveries requires that none reports what another one holds.
func TestConcurrentDiscoveries(t *testing.T) {
	checkLeaks(t)
	full(t) // after which the process has opened what it keeps
	kept := ownDescriptors(full(t))
	const rounds = 5
	for range rounds {
		require.Empty(t, eightAtOnce(t, kept))
	}
}

// TestTableOfTheCaller has the caller on a thread with a table of descriptors of its own.
func TestTableOfTheCaller(t *testing.T) {
	testutil.NeedRoot(t)
	checkLeaks(t)
	var fd int
	briefly(t, func() { fd = newNetwork(t) })
	closeLater(t, fd)
	id := species.NamespaceIDFromInode(inodeOfFD(t, fd))
	full(t) // after which the process has opened what it keeps
	kept := ownDescriptors(full(t))
	var r *discover.Result
	var err error
	briefly(t, func() {
		if err = unix.Unshare(unix.CLONE_FILES); err == nil {
			r, err = discover.Discover(context.Background(), discover.Options{Workers: 2})
		}
	})
	require.NoError(t, err)
	require.NotNil(t, r.Process(pid()))
	require.NotNil(t, r.Process(os.Getppid()))
	own := slices.DeleteFunc(slices.Clone(r.Namespace(id).References), func(ref discover.Reference) bool {
		return ref.PID != pid() // another discovery's, for a moment
	})
	require.Len(t, own, 2, "in both tables")
	for _, n := range r.Namespaces {
		for _, ref := range n.References {
			if ref.PID == pid() && ref.Kind == discover.ByFD {
				ref.TID = 0
				require.Contains(t, kept, n.String()+" "+ref.String(), "a discovery's")
			}
		}
	}
}

// TestRootOfTheCaller has the caller on a thread whose mount namespace has no /proc.
func TestRootOfTheCaller(t *testing.T) {
	testutil.NeedRoot(t)
	checkLeaks(t)
	var err error
	briefly(t, func() {
		err = errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Unmount("/proc", unix.MNT_DETACH))
		if err == nil {
			_, err = discover.Discover(context.Background(), discover.Options{})
		}
	})
	require.NoError(t, err)
}

// ownDescriptors returns the descriptors of this process that hold namespaces.
func ownDescriptors(r *discover.Result) map[string]bool {
	found := map[string]bool{}
	for _, n := range r.Namespaces {
		for _, ref := range n.References {
			if ref.PID == os.Getpid() && ref.TID == 0 && (ref.Kind == discover.ByFD || ref.Kind == discover.BySocket) {
				found[n.String()+" "+ref.String()] = true
			}
		}
	}
	return found
}

// eightAtOnce returns the descriptors that were found and that the process does not keep.
func eightAtOnce(t *testing.T, kept map[string]bool) []any {
	var all sync.WaitGroup
	var found sync.Map
	for range 8 {
		all.Go(func() {
			r, err := discover.Discover(t.Context(), discover.Options{Sources: discover.Full})
			if err != nil {
				t.Error(err)
				return
			}
			for ref := range ownDescriptors(r) {
				if !kept[ref] {
					found.Store(ref, true)
				}
			}
		})
	}
	all.Wait()
	var refs []any
	found.Range(func(ref, _ any) bool { refs = append(refs, ref); return true })
	return refs
}
