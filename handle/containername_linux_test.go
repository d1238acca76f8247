package handle

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/engines"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// dockers returns what Docker has written down of containers, their names by ID.
func dockers(t *testing.T, names map[string]string) *engines.Engines {
	t.Helper()
	root := t.TempDir()
	for id, name := range names {
		dir := filepath.Join(root, "var/lib/docker/containers", id)
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(`{"Name":"/`+name+`"}`), 0o600))
	}
	told := engines.New(root, nil, nil)
	told.Search()
	return told
}

func TestContainersByName(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	hierarchies := cgroups(t, []string{"unified/docker/" + idA, "memory/docker/" + idA, "unified/docker/" + idC}, target.PID)
	open := func(word string, told *engines.Engines) (string, error) {
		ns, err := network.fromContainer(word, hierarchies, told)
		if err != nil {
			return "", err
		}
		id, err := ns.ID()
		require.NoError(t, err)
		require.NoError(t, ns.Close())
		return id.LinkText(species.CLONE_NEWNET), nil
	}
	told := dockers(t, map[string]string{idA: "web", idC: "aaaa"})
	found, err := open("web", told)
	require.NoError(t, err)
	require.Equal(t, target.NamespaceLink(species.CLONE_NEWNET), found)
	for _, word := range []string{"we", "/web", "webb"} {
		_, err = open(word, told)
		require.Error(t, err, word)
	}
	found, err = open("aaaa", told)
	require.NoError(t, err, "a name goes before the beginning of an ID")
	require.NotEqual(t, target.NamespaceLink(species.CLONE_NEWNET), found)
	found, err = open("aaa", told)
	require.NoError(t, err)
	require.Equal(t, target.NamespaceLink(species.CLONE_NEWNET), found)

	told = dockers(t, map[string]string{idA: "web", idC: "web"})
	_, err = open("web", told)
	require.ErrorIs(t, err, ErrAmbiguous)
	require.ErrorContains(t, err, idA+", "+idC)
	told = dockers(t, map[string]string{idC: idA[:12]})
	found, err = open(idA[:12], told)
	require.NoError(t, err, "a short ID is no name")
	require.Equal(t, target.NamespaceLink(species.CLONE_NEWNET), found)
	_, err = open("web", nil)
	require.ErrorIs(t, err, ErrUnknownContainer)
}

// TestNamesProveNothing has others make cgroups with the ID or the name of a container.
func TestNamesProveNothing(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	nested := "unified/docker/" + idC + "/docker/" + idA
	hierarchies := cgroups(t, []string{"unified/docker/" + idC, nested, "unified/docker/" + idC + "/lxc.payload.aabb"}, os.Getpid())
	procs := filepath.Join(filepath.Dir(hierarchies[0].Point), nested, "cgroup.procs")
	require.NoError(t, os.WriteFile(procs, []byte(strconv.Itoa(target.PID)), 0o600))
	told := dockers(t, map[string]string{idA: "web", idC: "outer"})
	_, err := network.fromContainer("web", hierarchies, told)
	require.ErrorIs(t, err, ErrUnknownContainer)
	_, err = network.fromContainer(idA, hierarchies, told)
	require.ErrorIs(t, err, ErrUnknownContainer)
	ns, err := network.fromContainer("outer", hierarchies, told)
	require.NoError(t, err)
	require.NoError(t, ns.Close())

	hierarchies = append(hierarchies, cgroups(t, []string{"unified/docker/" + idB}, os.Getpid())...)
	ns, err = network.fromContainer("aabb", hierarchies, told)
	require.NoError(t, err, "no name that others made keeps an ID from being found by its beginning")
	require.NoError(t, ns.Close())
}
