package testutil

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInUserns(t *testing.T) {
	if os.Getenv(usernsEnv) == "" && isRoot() {
		t.Setenv("NSOPS_TEST_CALLER", "root")
	}
	t.Run("sub test (1)", func(t *testing.T) {
		InUserns(t, func(t *testing.T) {
			require.Zero(t, os.Getuid())
			require.False(t, isRoot())
			text, err := os.ReadFile("/proc/self/uid_map")
			require.NoError(t, err)
			fields := strings.Fields(string(text))
			require.Equal(t, []string{"0", "1"}, []string{fields[0], fields[2]})
			require.Equal(t, os.Getenv(usernsOutsideEnv), fields[1])
			require.Equal(t, os.Getenv("NSOPS_TEST_CALLER") == "root", fields[1] == strconv.Itoa(nobodysID))
			require.FileExists(t, "userns_linux.go", "same directory")
		})
	})
}

func TestRan(t *testing.T) {
	require.True(t, ran("TestX", []byte("=== RUN TestX\n--- PASS: TestX (0.00s)\nPASS\n")))
	require.False(t, ran("TestX", []byte("testing: warning: no tests to run\nPASS\n")))
	require.Equal(t, `^TestX$/^a\.b_\(1\)$`, pattern("TestX/a.b_(1)"))
}
