package discover_test

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

const (
	patience = 10 * time.Second
	tick     = time.Millisecond
)

func full(t *testing.T) *discover.Result {
	t.Helper()
	r, err := discover.Discover(context.Background(), discover.Options{Sources: discover.Full})
	require.NoError(t, err)
	return r
}

// requireTruth requires that each namespace was found, with a holder of that kind, and that it can be opened again.
func requireTruth(t *testing.T, r *discover.Result, all []truth) {
	t.Helper()
	for _, want := range all {
		n := r.Namespace(species.NamespaceIDFromInode(want.ino))
		require.NotNil(t, n, "%v\n%v", want, r.Problems)
		require.Equal(t, want.t, n.Type, "%v", want)
		require.True(t, slices.ContainsFunc(slices.Collect(n.Holders()), func(ref discover.Reference) bool {
			return ref.Kind.String() == want.what
		}), "%v is held by %v", want, n.References)
		if !handlesOpen(t) && slices.ContainsFunc(r.Problems, func(p discover.Problem) bool { return p.Namespace == n.ID }) {
			continue // nothing else leads to what is mounted over
		}
		require.NotNil(t, n.Owner, "%v\n%v", want, r.Problems)
		require.GreaterOrEqual(t, n.OwnerUID, 0, "%v", want)
		f, err := n.Open()
		require.NoError(t, err, "%v", want)
		id, err := f.ID()
		require.NoError(t, err)
		require.Equal(t, n.ID, id)
		require.NoError(t, f.Close())
	}
}

// handlesOpen reports whether any namespace can be opened by its file handle: not before 6.18, nor on newer kernels than that
// in a container.
func handlesOpen(t *testing.T) bool {
	t.Helper()
	if !sys.Have(sys.NamespaceSerials) {
		return false
	}
	var handle raw.Handle
	briefly(t, func() {
		fd := newNetwork(t)
		closeLater(t, fd)
		var err error
		handle, err = sys.HandleOf(fd)
		require.NoError(t, err)
	})
	fd, err := sys.Own(sys.OpenHandle(handle))
	if err == nil {
		require.NoError(t, fd.Close())
	}
	return err == nil
}

func TestEveryHolder(t *testing.T) {
	testutil.NeedRoot(t)
	checkLeaks(t)
	all := inThisProcess(t)
	all = append(all, tunTap(t))
	pins := pinned(t)
	all = append(all, pins...)
	all = append(all, processLess(t)...)
	all = append(all, pinnedMounts(t)...)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	for kind := range species.Set(species.AllNS).All() {
		id, _ := species.IDwithType(target.NamespaceLink(kind))
		all = append(all, truth{"process", kind, id.Ino})
	}
	r := full(t)
	requireTruth(t, r, all)
	requireTruth(t, standard(t), slices.DeleteFunc(slices.Clone(all), func(w truth) bool {
		return w.what == "message" || w.what == "tun" || w == pins[2] // has no owner without its file handle
	}))
	for _, p := range r.Problems { // the pins of others come and go
		require.False(t, p.Source == discover.Mounts && sys.Have(sys.NamespaceSerials) &&
			slices.ContainsFunc(all, func(w truth) bool { return w.ino == p.Namespace.Ino }), "%v", p)
	}
}

func TestHoldersOfTheUnprivileged(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		checkLeaks(t)
		all := inThisProcess(t)
		pins := pinned(t)
		all = append(all, pins[:2]...)
		all = append(all, processLess(t)...)
		all = append(all, pinnedMounts(t)...)
		r := full(t)
		requireTruth(t, r, all)
		requireTruth(t, standard(t), slices.DeleteFunc(all, func(w truth) bool { return w.what == "message" }))
		require.NotEmpty(t, r.Problems, "processes of others")
		own := r.Process(1)
		require.NotNil(t, own, "whatever it is")
		for _, n := range r.UserRoots() {
			require.True(t, n.ParentHidden || n.Initial)
		}
	})
}

func TestPendingPIDNamespace(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 11) // the link in /proc comes with the first process in it
	onThread(t, func() { require.NoError(t, unshare(species.CLONE_NEWPID)) })
	r := full(t)
	found := false
	for _, n := range r.OfType(species.CLONE_NEWPID) {
		for _, ref := range n.References {
			found = found || ref.Kind == discover.ForChildren && ref.PID == pid()
		}
	}
	require.True(t, found)
}

func TestHiddenParent(t *testing.T) {
	testutil.NeedRoot(t)
	pid := nested(t)
	var r *discover.Result
	var n *discover.Namespace
	require.Eventually(t, func() bool { // other discoveries open it for a moment
		r = full(t)
		n = r.Process(pid).Namespaces.Of(species.CLONE_NEWUSER)
		return n.Parent != nil && n.Parent.Hidden()
	}, patience, tick)
	require.Same(t, n.Parent, n.Owner)
	require.Same(t, r.Initial(species.CLONE_NEWUSER), n.Parent.Parent)
	require.Len(t, n.Parent.Children, 1)
	require.Same(t, n, n.Parent.Children[0])
	require.Same(t, n, n.Parent.Owned[0])
	f, err := n.Parent.Open()
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestUnreadableProcessesAreProblems(t *testing.T) {
	r := full(t)
	for _, p := range r.Processes {
		if p.Namespaces.Of(species.CLONE_NEWPID) == nil && p.State != 'Z' {
			require.True(t, slices.ContainsFunc(r.Problems, func(problem discover.Problem) bool {
				return problem.PID == p.PID && problem.Errno != 0
			}), "process %d", p.PID)
		}
	}
}

// TestTypesAreExact has each kind of holder, and namespaces to which only those of other types lead.
func TestTypesAreExact(t *testing.T) {
	testutil.NeedRoot(t)
	all := inThisProcess(t)
	all = append(all, tunTap(t))
	all = append(all, pinned(t)...)
	all = append(all, processLess(t)...)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	for kind := range species.Set(species.AllNS).All() {
		id, _ := species.IDwithType(target.NamespaceLink(kind))
		all = append(all, truth{"process", kind, id.Ino})
	}
	all = append(all, outlived(t))
	inner := nested(t)
	for n := full(t).Process(inner).Namespaces.Of(species.CLONE_NEWUSER); n != nil; n = n.Owner {
		all = append(all, truth{"", species.CLONE_NEWUSER, n.ID.Ino})
	}
	masks := []species.Set{species.Set(species.CLONE_NEWNET | species.CLONE_NEWUSER), species.Set(species.CLONE_NEWPID | species.CLONE_NEWTIME)}
	for kind := range species.Set(species.AllNS).All() {
		masks = append(masks, species.Set(kind))
	}
	for _, sources := range []discover.Sources{discover.Full, discover.Standard} {
		whole, err := discover.Discover(t.Context(), discover.Options{Sources: sources})
		require.NoError(t, err)
		for _, mask := range masks {
			r, err := discover.Discover(t.Context(), discover.Options{Types: mask, Sources: sources})
			require.NoError(t, err)
			for _, n := range r.Namespaces {
				require.True(t, mask.Has(n.Type), "%v", n)
			}
			for _, want := range all {
				id := species.NamespaceIDFromInode(want.ino)
				n, other := r.Namespace(id), whole.Namespace(id)
				if !mask.Has(want.t) {
					require.Nil(t, n, "%v", want)
					continue
				}
				if sources == discover.Standard && (want.what == "message" || want.what == "tun") {
					continue // is seen while another program discovers, which holds it
				}
				require.Equal(t, other != nil, n != nil, "%v with types %v from %v", want, mask, sources)
				about := func(p discover.Problem) bool { return p.Namespace == id }
				if slices.ContainsFunc(r.Problems, about) || slices.ContainsFunc(whole.Problems, about) {
					continue // such as one below another mount, whose owner a busy machine does not find in time
				}
				if n != nil && !n.Initial { // where others come and go
					require.Equal(t, []int{len(other.Processes), other.Tasks, len(other.StrayTasks), other.OwnerUID},
						[]int{len(n.Processes), n.Tasks, len(n.StrayTasks), n.OwnerUID}, "%v with types %v", want, mask)
				}
			}
		}
	}
}

func TestSourcesCanBeSwitchedOff(t *testing.T) {
	r, err := discover.Discover(context.Background(), discover.Options{Sources: discover.None})
	require.NoError(t, err)
	require.Empty(t, r.Processes)
	require.LessOrEqual(t, len(r.Namespaces), 2, "our own PID namespace and its owner at most")
	r, err = discover.Discover(context.Background(), discover.Options{Sources: discover.Standard &^ discover.Ownership &^ discover.Hierarchy})
	require.NoError(t, err)
	require.NotEmpty(t, r.Processes)
	for _, n := range r.Namespaces {
		require.Nil(t, n.Owner)
		require.Nil(t, n.Parent)
	}
}

func TestOddOptions(t *testing.T) {
	for _, opts := range []discover.Options{{Workers: -1}, {Workers: math.MaxInt}, {Patience: -1}, {Types: 1}, {Sources: 1 << 31},
		{Sources: discover.Full &^ discover.Processes}, {Sources: discover.KernelList}, {Sources: discover.AllMountNamespaces | discover.Mounts}} {
		r, err := discover.Discover(t.Context(), opts)
		require.NoError(t, err, "%+v", opts)
		_, err = r.MarshalJSON()
		require.NoError(t, err)
	}
	r, err := discover.Rescan(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, discover.Standard, r.Options.Sources)
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := discover.Discover(ctx, discover.Options{})
	require.ErrorIs(t, err, context.Canceled)
	var own *discover.Error
	require.ErrorAs(t, err, &own)
}

func TestNoProc(t *testing.T) {
	for _, dir := range []string{"/nowhere", "/", "/proc/self", "/dev/null"} {
		_, err := discover.Discover(context.Background(), discover.Options{Proc: dir})
		var own *discover.Error
		require.ErrorAs(t, err, &own, dir)
	}
}
