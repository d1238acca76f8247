package handle

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// mallory is a user who makes cgroups.
const mallory = 64321

// disguise is a container's cgroup in one hierarchy, and one with its name in another, with a process of somebody else.
type disguise struct {
	genuine, forged string
	hierarchies     []container.Hierarchy
}

func newDisguise(t *testing.T, genuine, forged string, victim int) *disguise {
	t.Helper()
	d := &disguise{hierarchies: cgroups(t, []string{genuine, forged}, victim)}
	root := filepath.Dir(d.hierarchies[0].Point)
	d.genuine, d.forged = filepath.Join(root, genuine), filepath.Join(root, forged)
	d.fill(t, d.forged, os.Getpid())
	return d
}

func (d *disguise) fill(t *testing.T, dir string, pids ...int) {
	t.Helper()
	var text string
	for _, pid := range pids {
		text += strconv.Itoa(pid) + "\n"
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(text), 0o600))
}

// inEachOrder looks the container up in the hierarchies, whichever is first.
func (d *disguise) inEachOrder(t *testing.T, id string, check func(link string, err error)) {
	t.Helper()
	for range 2 {
		slices.Reverse(d.hierarchies)
		ns, err := network.fromContainer(id, d.hierarchies)
		if err != nil {
			check("", err)
			continue
		}
		found, err := ns.ID()
		require.NoError(t, err)
		require.NoError(t, ns.Close())
		check(found.LinkText(species.CLONE_NEWNET), nil)
	}
}

func TestContainerInSeveralHierarchies(t *testing.T) {
	testutil.CheckLeaks(t)
	victim := testutil.StartTarget(t, testutil.TargetOptions{})
	d := newDisguise(t, "memory/docker/"+idA, "systemd/docker/"+idA, victim.PID)
	for _, id := range []string{idA, idA[:5]} {
		d.inEachOrder(t, id, func(_ string, err error) {
			require.ErrorIs(t, err, ErrAmbiguous)
			require.ErrorContains(t, err, d.forged)
		})
	}
	d.fill(t, d.forged, os.Getpid(), victim.PID)
	d.fill(t, d.genuine, victim.PID, os.Getppid())
	d.inEachOrder(t, idA, func(link string, err error) {
		require.NoError(t, err, "they have a process in common")
		require.Equal(t, victim.NamespaceLink(species.CLONE_NEWNET), link)
	})
	d.fill(t, d.forged)
	d.inEachOrder(t, idA, func(_ string, err error) { require.NoError(t, err, "one is empty") })
}

// What a user or a container may have made proves nothing, neither against root's nor by itself.
func TestContainerWhereOthersMayMakeCgroups(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	victim := testutil.StartTarget(t, testutil.TargetOptions{})
	for name, test := range map[string]struct {
		forged string
		allow  func(parent string) error
	}{
		"of a user":           {"systemd/user.slice/docker-" + idA + ".scope", func(p string) error { return os.Chown(p, mallory, mallory) }},
		"below a user's":      {"systemd/user@1000.service/x/docker-" + idA + ".scope", func(p string) error { return os.Chown(filepath.Dir(p), mallory, 0) }},
		"for all":             {"systemd/" + idA, func(p string) error { return os.Chmod(p, 0o777) }}, //nolint:gosec // that is it
		"for a group":         {"systemd/docker/" + idA, func(p string) error { return errors.Join(os.Chown(p, 0, mallory), os.Chmod(p, 0o775)) }},
		"of a container":      {"systemd/docker/" + idB + "/docker/" + idA, nil},
		"of one of LXC":       {"systemd/lxc.payload.web/docker/" + idA, nil},
		"of one of nspawn":    {"systemd/machine.slice/machine-web.scope/docker/" + idA, nil},
		"of one in a service": {"systemd/machine.slice/systemd-nspawn@web.service/payload/docker/" + idA, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisguise(t, "memory/docker/"+idA, test.forged, victim.PID)
			if test.allow != nil {
				require.NoError(t, test.allow(filepath.Dir(d.forged)))
			}
			for _, id := range []string{idA, idA[:5]} {
				d.fill(t, d.genuine, victim.PID)
				d.inEachOrder(t, id, func(link string, err error) {
					require.NoError(t, err)
					require.Equal(t, victim.NamespaceLink(species.CLONE_NEWNET), link)
				})
				d.fill(t, d.genuine)
				d.inEachOrder(t, id, func(_ string, err error) {
					require.ErrorIs(t, err, ErrUnknownContainer)
					require.ErrorContains(t, err, "proves nothing")
					require.ErrorContains(t, err, d.forged)
				})
			}
		})
	}
}

// A container's cgroup may be given to its root, who is another user outside.
func TestContainerWhoseCgroupIsGivenAway(t *testing.T) {
	hierarchies := cgroups(t, []string{"unified/user.slice/docker-" + idA + ".scope"}, os.Getpid())
	if os.Geteuid() == 0 {
		root := filepath.Dir(hierarchies[0].Point)
		err := os.Chown(filepath.Join(root, "unified/user.slice/docker-"+idA+".scope"), mallory, mallory)
		if errors.Is(err, syscall.EINVAL) {
			testutil.Skip(t, "needs a user namespace that maps another user")
		}
		require.NoError(t, err)
	}
	ns, err := network.fromContainer(idA, hierarchies)
	require.NoError(t, err, "it does not matter who the cgroup was given to")
	require.NoError(t, ns.Close())
}
