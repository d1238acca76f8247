package container

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestContainersOfTheSameName are those of different users and runtimes.
func TestContainersOfTheSameName(t *testing.T) {
	var known []*Membership
	for _, text := range []string{
		"5:memory:/lxc.payload.web\n1:name=systemd:/lxc.payload.web\n",
		"5:memory:/lxc.payload.web\n1:name=systemd:/lxc.payload.web/below\n",
		"5:memory:/\n1:name=systemd:/lxc.payload.web\n",
		"5:memory:/user/1000/lxc.payload.web\n1:name=systemd:/user.slice/lxc.payload.web\n",
		"5:memory:/machine.slice/machine-web.scope\n1:name=systemd:/machine.slice/machine-web.scope\n",
		"5:memory:/\n1:name=systemd:/\n",
	} {
		known = append(known, ParseMembership([]byte(text)))
	}
	all := Assign(known, func(string, *Container) bool { return true })
	require.True(t, all[0].Proven)
	require.Len(t, all, 3)
	of := func(i int) *Container { return known[i].Container }
	require.Equal(t, []*Container{of(0), of(3), of(4)}, all)
	require.Same(t, of(0), of(1))
	require.Same(t, of(0), of(2))
	require.NotSame(t, of(0), of(3))
	require.Equal(t, []string{"lxc", "nspawn"}, []string{of(3).Runtime, of(4).Runtime})
	require.Nil(t, of(5))
}

// TestForgedContainers are cgroups of users that have the name of another's container.
func TestForgedContainers(t *testing.T) {
	other := strings.Repeat("f", 64)
	var known []*Membership
	for _, text := range []string{
		"9:name=systemd:/user.slice/docker-" + id + ".scope\n5:memory:/user.slice\n",            // in an earlier hierarchy
		"9:name=systemd:/user.slice/docker-" + id + ".scope\n5:memory:/docker/" + other + "\n",  // of a container's root
		"9:name=systemd:/docker/" + id + "\n5:memory:/docker/" + id + "\n",                      // the victim
		"9:name=systemd:/user.slice/docker-" + other[1:] + "0.scope\n5:memory:/\n",              // perhaps a rootless container
		"9:name=systemd:/user.slice/a/docker-" + other[1:] + "0.scope\n5:memory:/user.slice/\n", // or not
		"9:name=systemd:/../docker/" + id + "\n",                                                // outside of our cgroup namespace
	} {
		known = append(known, ParseMembership([]byte(text)))
	}
	all := Assign(known, func(kind string, c *Container) bool {
		require.Contains(t, []string{"memory", "name=systemd"}, kind)
		return !strings.HasPrefix(c.Cgroup, "/user.slice/")
	})
	require.Nil(t, known[0].Container)
	require.Equal(t, &Container{ID: other, Runtime: "docker", Cgroup: "/docker/" + other, Proven: true}, known[1].Container)
	require.Equal(t, &Container{ID: id, Runtime: "docker", Cgroup: "/docker/" + id, Proven: true}, known[2].Container)
	require.True(t, known[1].Container.Proven && known[2].Container.Proven)
	for _, c := range known[3:5] {
		require.NotNil(t, c.Container)
		require.False(t, c.Container.Proven, "it is given no name")
	}
	require.Len(t, all, 4)
	require.Nil(t, known[5].Container, "it does not show")
}
