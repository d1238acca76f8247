package sys_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

func closeOnExec(t testing.TB, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	return flags&unix.FD_CLOEXEC != 0
}

func TestFDHasOneOwner(t *testing.T) {
	raw, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	fd := sys.NewFD(raw)
	dup, err := sys.DupFD(fd.Int())
	require.NoError(t, err)
	require.True(t, closeOnExec(t, dup.Int()))
	require.NoError(t, fd.Close())
	require.NoError(t, fd.Close(), "again")
	require.Equal(t, -1, fd.Int())
	left := dup.Disown()
	require.NoError(t, dup.Close(), "nothing to do")
	require.NoError(t, unix.Close(left))
	require.NoError(t, (*sys.FD)(nil).Close())
}

func TestOpenNamespaceTakesNothingElse(t *testing.T) {
	fifo := t.TempDir() + "/fifo"
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	for _, path := range []string{fifo, "/", "/proc/self/status", os.DevNull} {
		_, err := sys.OpenNamespace(path)
		require.ErrorIs(t, err, unix.EINVAL, path)
	}
	_, err := sys.OpenNamespace("/does/not/exist")
	require.ErrorIs(t, err, unix.ENOENT)
	ns, err := sys.OpenNamespace("/proc/thread-self/ns/net")
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	typ, err := sys.TypeOf(ns.Int())
	require.NoError(t, err)
	require.Equal(t, species.CLONE_NEWNET, typ)
	require.True(t, closeOnExec(t, ns.Int()))
}

func TestBuffers(t *testing.T) {
	for _, pretend := range []bool{false, true} {
		if pretend {
			defer sys.Pretend(sys.MemoryFiles)()
		}
		for _, text := range []string{"", "x", strings.Repeat("y", 3<<20)} {
			fd, err := sys.Buffer()
			require.NoError(t, err)
			require.NoError(t, sys.Fill(fd, []byte(text)))
			data, err := sys.ReadBuffer(fd, uint64(len(text)))
			require.NoError(t, err)
			require.True(t, text == string(data))
			_, err = sys.ReadBuffer(fd, uint64(len(text)+1))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.NoError(t, fd.Close())
		}
	}
}

func TestSealedCopyIsTheSameForGood(t *testing.T) {
	raw, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	file := sys.NewFD(raw)
	defer func() { _ = file.Close() }()
	sealed, err := sys.SealedCopy(file)
	require.NoError(t, err)
	defer func() { _ = sealed.Close() }()
	var want, got unix.Stat_t
	require.NoError(t, unix.Fstat(file.Int(), &want))
	require.NoError(t, unix.Fstat(sealed.Int(), &got))
	require.Equal(t, want.Size, got.Size)
	require.EqualValues(t, 0o111, got.Mode&0o777)
	_, err = unix.Write(sealed.Int(), []byte("x"))
	require.ErrorIs(t, err, unix.EPERM)
	require.ErrorIs(t, unix.Ftruncate(sealed.Int(), 0), unix.EPERM)
	_, err = unix.FcntlInt(uintptr(sealed.Int()), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE)
	require.ErrorIs(t, err, unix.EPERM, "no more seals")
}
