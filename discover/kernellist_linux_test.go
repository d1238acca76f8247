package discover_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func needKernelList(t *testing.T) {
	t.Helper()
	if _, errno := raw.ListNamespaces(species.CLONE_NEWNET); errno != 0 {
		testutil.NeedFeature(t, "listns(2)", 6, 19, errno)
	}
}

// listed returns the 64-bit IDs of all types, each once.
func listed(t *testing.T) map[uint64]species.NamespaceType {
	t.Helper()
	found := map[uint64]species.NamespaceType{}
	for kind := range species.Set(species.AllNS).All() {
		serials, errno := raw.ListNamespaces(kind)
		require.Zero(t, errno)
		for _, serial := range serials {
			require.NotContains(t, found, serial)
			found[serial] = kind
		}
	}
	return found
}

// walked returns what a discovery finds by itself.
func walked(t *testing.T) *discover.Result {
	t.Helper()
	r, err := discover.Discover(t.Context(), discover.Options{Sources: discover.Full &^ discover.KernelList})
	require.NoError(t, err)
	return r
}

// requireAgreement compares a walk with lists made before and after it, for others may come and go. The kernel does not
// list what only sockets hold.
func requireAgreement(t *testing.T, before map[uint64]species.NamespaceType, r *discover.Result, after map[uint64]species.NamespaceType) {
	t.Helper()
	types := map[uint64]species.NamespaceType{}
	for _, n := range r.Namespaces {
		types[n.Serial] = n.Type
		elsewise := slices.ContainsFunc(n.References, func(ref discover.Reference) bool { return ref.Kind != discover.BySocket })
		if _, ok := before[n.Serial]; !ok && elsewise {
			require.Contains(t, after, n.Serial, "%v is held by %v", n, n.References)
		}
	}
	for serial, kind := range after {
		if _, ok := before[serial]; ok {
			require.Equal(t, kind, types[serial], "%d", serial)
		}
	}
}

func TestKernelListAgreesWithTheWalk(t *testing.T) {
	testutil.NeedRoot(t)
	needKernelList(t)
	checkLeaks(t)
	_, _, _ = inThisProcess(t), pinned(t), processLess(t)
	testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	nested(t)
	before := listed(t)
	r := walked(t)
	requireAgreement(t, before, r, listed(t))
}

// watched makes network namespaces that nothing but inotify watches hold.
func watched(t *testing.T, count int) (all []truth) {
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	require.NoError(t, err)
	closeLater(t, inotify)
	for range count {
		briefly(t, func() {
			fd := newNetwork(t)
			_, err := unix.InotifyAddWatch(inotify, "/proc/self/fd/"+strconv.Itoa(fd), unix.IN_OPEN)
			require.NoError(t, err)
			all = append(all, truth{"kernel", species.CLONE_NEWNET, inodeOfFD(t, fd)})
			require.NoError(t, unix.Close(fd))
		})
	}
	return all
}

func TestHoldersThatOnlyTheKernelKnows(t *testing.T) {
	testutil.NeedRoot(t)
	needKernelList(t)
	checkLeaks(t)
	all := watched(t, 2)
	for _, want := range all {
		require.Nil(t, walked(t).Namespace(species.NamespaceIDFromInode(want.ino)))
	}
	requireTruth(t, full(t), all)
	r, err := discover.Discover(t.Context(), discover.Options{Sources: discover.KernelList | discover.Ownership})
	require.NoError(t, err)
	requireTruth(t, r, all)
	require.NotNil(t, r.Initial(species.CLONE_NEWIPC))
}

// TestKernelListOfTheUnprivileged finds that the kernel shows only what they are in, and opens nothing for them.
func TestKernelListOfTheUnprivileged(t *testing.T) {
	needKernelList(t)
	testutil.InUserns(t, func(t *testing.T) {
		checkLeaks(t)
		_ = inThisProcess(t)
		ofKernel := func(p discover.Problem) bool { return p.Source == discover.KernelList }
		r := full(t)
		types := map[uint64]species.NamespaceType{}
		for _, n := range r.Namespaces {
			types[n.Serial] = n.Type
		}
		for serial, kind := range listed(t) {
			require.Equal(t, kind, types[serial], "%d", serial)
		}
		require.False(t, slices.ContainsFunc(r.Problems, ofKernel), "%v", r.Problems)
		alone, err := discover.Discover(t.Context(), discover.Options{Sources: discover.KernelList})
		require.NoError(t, err)
		for serial, kind := range listed(t) {
			found := slices.ContainsFunc(alone.Namespaces, func(n *discover.Namespace) bool { return n.Serial == serial })
			require.True(t, found || slices.ContainsFunc(alone.Problems, func(p discover.Problem) bool {
				return ofKernel(p) && p.Type == kind && p.Errno == unix.EPERM
			}), "%v\n%v", kind, alone.Problems)
		}
	})
}

// TestKernelListOfManyNamespaces has more than are listed at a time.
func TestKernelListOfManyNamespaces(t *testing.T) {
	testutil.NeedRoot(t)
	needKernelList(t)
	checkLeaks(t)
	const many = 1100
	own := make([]uint64, 0, many)
	briefly(t, func() {
		for range many {
			require.NoError(t, unix.Unshare(unix.CLONE_NEWUTS))
			fd, err := unix.Open("/proc/thread-self/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			require.NoError(t, err)
			closeLater(t, fd)
			serial, err := sys.SerialOf(fd, species.CLONE_NEWUTS)
			require.NoError(t, err)
			own = append(own, serial)
		}
	})
	serials, errno := raw.ListNamespaces(species.CLONE_NEWUTS)
	require.Zero(t, errno)
	require.True(t, slices.IsSorted(serials))
	require.Subset(t, serials, own)
	require.Len(t, slices.Compact(slices.Clone(serials)), len(serials))
}
