package sys

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestFeaturesAreDocumented has a row of docs/kernels.md for each feature, with the same name and the same kernel.
func TestFeaturesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/kernels.md")
	if errors.Is(err, os.ErrNotExist) {
		t.Log("the tests run without the documentation")
		return
	}
	require.NoError(t, err)
	for f, feature := range table {
		require.NotEmpty(t, feature.name, "%d", f)
		require.Contains(t, string(text), fmt.Sprintf("\n| %s | %s |", feature.name, feature.since))
	}
}

func TestMissingFeaturesAreNamed(t *testing.T) {
	err := NamespaceHandles.Missing(unix.EOPNOTSUPP)
	require.ErrorIs(t, err, ErrNotSupported)
	require.ErrorIs(t, err, unix.EOPNOTSUPP)
	require.ErrorContains(t, err, "file handles of namespaces (Linux 6.18)")
}

// TestProbes has no feature before the kernel that brought it, and every feature since, unless it requires a capability.
func TestProbes(t *testing.T) {
	var name unix.Utsname
	require.NoError(t, unix.Uname(&name))
	running := version(t, unix.ByteSliceToString(name.Release[:]))
	for f, feature := range table {
		if feature.probe == nil || Feature(f) == TaskIterators && MayTrace() != nil {
			continue
		}
		require.Equal(t, running >= version(t, feature.since), Have(Feature(f)), "%s: %v", feature.name, feature.probe())
		restore := Pretend(Feature(f))
		require.False(t, Have(Feature(f)), feature.name)
		restore()
	}
}

func version(t *testing.T, text string) int {
	t.Helper()
	var major, minor int
	_, err := fmt.Sscanf(strings.ReplaceAll(text, "-", "."), "%d.%d", &major, &minor)
	require.NoError(t, err)
	return major*1000 + minor
}
