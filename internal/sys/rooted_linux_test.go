package sys

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
)

// TestNothingElseIsOpened has a file in place of a namespace, and somebody who is told if it is opened.
func TestNothingElseIsOpened(t *testing.T) {
	dev, err := NsfsDevice()
	require.NoError(t, err)
	path := raw.NewPath("/proc/thread-self/ns/uts")
	fd, errno := OpenOn(dev, raw.CurrentDir, &path)
	require.Zero(t, errno)
	_, errno = raw.Type(fd)
	require.Zero(t, errno)
	raw.Close(fd)

	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	require.NoError(t, err)
	defer raw.Close(watch)
	_, err = unix.InotifyAddWatch(watch, name, unix.IN_OPEN)
	require.NoError(t, err)
	path = raw.NewPath(name)
	_, errno = OpenOn(dev, raw.CurrentDir, &path)
	require.Equal(t, unix.EINVAL, errno)
	_, err = unix.Read(watch, make([]byte, 4096))
	require.ErrorIs(t, err, unix.EAGAIN)
}
