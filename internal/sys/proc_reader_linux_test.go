package sys_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// TestShortOfALongFile has a ProcReader that has read more before.
func TestShortOfALongFile(t *testing.T) {
	const size, most = 100_000, 32 << 10
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, make([]byte, size), 0o600))
	path := raw.NewPath(name)
	r := sys.NewProcReader()
	for range 2 {
		text, errno := r.Short(raw.CurrentDir, &path)
		require.Zero(t, errno)
		require.Len(t, text, most)
		text, errno = r.Whole(raw.CurrentDir, &path)
		require.Zero(t, errno)
		require.Len(t, text, size)
	}
}
