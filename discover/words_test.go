package discover

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/facts"
)

func TestSources(t *testing.T) {
	require.EqualValues(t, facts.PathFDs, PathFDs, "the lists are the same")
	require.EqualValues(t, facts.ByKernel, ByKernel)
	for _, s := range []Sources{None, Standard, Full, 0, Full &^ Sockets} {
		text, err := s.MarshalText()
		require.NoError(t, err)
		var again Sources
		require.NoError(t, again.UnmarshalText(text))
		require.Equal(t, s, again)
	}
	var s Sources
	var own *Error
	require.ErrorAs(t, s.UnmarshalText([]byte("socks")), &own)
	var k HolderKind
	require.ErrorAs(t, k.UnmarshalText([]byte("socks")), &own)
}
