package container

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseMembership(t *testing.T) {
	c := ParseMembership([]byte("9:name=systemd:/s\n6:freezer:/f/longer\n0::/\n"))
	require.Equal(t, "/s", c.Path)
	require.Equal(t, "/f/longer", c.Freezer)
	require.Equal(t, "/", c.Unified)
	c = ParseMembership([]byte("0::/a (deleted)\n"))
	require.Equal(t, "/a", c.Path)
	require.Equal(t, "/a", c.Unified)
	require.Empty(t, c.Freezer)
}

func FuzzMembership(f *testing.F) {
	f.Add([]byte("1:name=systemd:/a\n5:freezer:/b\n0::/\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { ParseMembership(text) })
}
