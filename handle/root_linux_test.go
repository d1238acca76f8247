package handle_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

var _ interface {
	fs.ReadFileFS
	fs.ReadDirFS
	fs.StatFS
	fs.ReadLinkFS
} = (*handle.Root)(nil)

// hostile has traps in the container's /mnt, which is a file system of its own.
const hostile = `
mount -t tmpfs none /mnt
mkdir /mnt/dir /mnt/etc
echo inside >/mnt/file
echo deep >/mnt/dir/deep
ln -s /mnt/file /mnt/absolute
ln -s ../../../../../../mnt/file /mnt/dir/dotdot
ln -s /etc/shadow-of-the-host /mnt/escape
ln -s /proc/1/root/etc/passwd /mnt/magic
ln -s /proc/1/root /mnt/magicdir
ln -s loop /mnt/loop
ln -s /proc/kmsg /mnt/kmsg
mkfifo /mnt/fifo
mknod /mnt/null c 1 3 || { : >/mnt/null; mount --bind /dev/null /mnt/null; } # a user namespace makes no devices
`

func hostileTarget(t *testing.T) (*testutil.Target, *handle.Process) {
	t.Helper()
	target := testutil.StartTarget(t, testutil.TargetOptions{Setup: hostile})
	process, err := handle.OpenProcess(target.PID)
	require.NoError(t, err)
	t.Cleanup(func() { _ = process.Close() })
	return target, process
}

func TestRootOfAMountNamespace(t *testing.T) {
	testutil.CheckLeaks(t)
	target, process := hostileTarget(t)
	for name, ref := range map[string]handle.Relation{
		"process": process.Namespace(species.CLONE_NEWNS),
		"path":    handle.NamespacePath(target.ProcDir() + "/ns/mnt"),
	} {
		t.Run(name, func(t *testing.T) {
			root, err := handle.OpenRoot(ref)
			require.NoError(t, err)
			defer func() { require.NoError(t, root.Close()) }()
			checkRoot(t, root)
		})
	}
	_, err := handle.OpenRoot(process.Namespace(species.CLONE_NEWNET))
	require.ErrorIs(t, err, syscall.EINVAL)
}

// checkRoot reads what hostile made.
func checkRoot(t *testing.T, root *handle.Root) {
	t.Helper()
	require.NoFileExists(t, "/mnt/file")
	for _, name := range []string{"mnt/file", "mnt/absolute", "mnt/dir/dotdot"} {
		text, err := root.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, "inside\n", string(text))
	}
	for name, want := range map[string]error{
		"mnt/escape": fs.ErrNotExist, "mnt/magic": syscall.ELOOP, "mnt/magicdir/etc": syscall.ELOOP, "mnt/loop": syscall.ELOOP,
		"mnt/fifo": syscall.EINVAL, "mnt/null": syscall.EINVAL, "mnt/none": fs.ErrNotExist, "mnt/dir": syscall.EISDIR,
		"/mnt/file": fs.ErrInvalid, "mnt/../mnt/file": fs.ErrInvalid, "": fs.ErrInvalid, "mnt/\x00": fs.ErrInvalid,
	} {
		started := time.Now()
		_, err := root.ReadFile(name)
		require.ErrorIs(t, err, want, name)
		require.Less(t, time.Since(started), 5*time.Second)
		var path *fs.PathError
		require.ErrorAs(t, err, &path)
	}
	info, err := root.Stat("mnt/fifo")
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&fs.ModeNamedPipe)
	require.Equal(t, "fifo", info.Name())
	target, err := root.ReadLink("mnt/absolute")
	require.NoError(t, err)
	require.Equal(t, "/mnt/file", target)
	_, err = root.ReadLink("mnt/file")
	require.ErrorIs(t, err, syscall.EINVAL)
	info, err = root.Lstat("mnt/absolute")
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&fs.ModeSymlink)
	checkDirectories(t, root)
}

func checkDirectories(t *testing.T, root *handle.Root) {
	t.Helper()
	entries, err := root.ReadDir("mnt")
	require.NoError(t, err)
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
		info, err := entry.Info()
		require.NoError(t, err, "not that of a path outside")
		require.Equal(t, entry.Type(), info.Mode().Type())
	}
	require.Equal(t, "absolute dir escape etc fifo file kmsg loop magic magicdir null", strings.Join(names, " "))

	sub, err := fs.Sub(root, "mnt/dir")
	require.NoError(t, err)
	text, err := fs.ReadFile(sub, "deep")
	require.NoError(t, err)
	require.Equal(t, "deep\n", string(text))

	file, err := root.Open("mnt/file")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	at := make([]byte, 4)
	_, err = file.(io.ReaderAt).ReadAt(at, 2)
	require.NoError(t, err)
	require.Equal(t, "side", string(at))
	_, err = file.(io.Seeker).Seek(0, io.SeekEnd)
	require.NoError(t, err)
	_, err = file.Read(at)
	require.ErrorIs(t, err, io.EOF)
}

// A link of the container leads to a regular file that waits for its reader to have something to read.
func TestRootDoesNotWait(t *testing.T) {
	_, process := hostileTarget(t)
	root, err := handle.OpenRoot(process.Namespace(species.CLONE_NEWNS))
	require.NoError(t, err)
	defer func() { require.NoError(t, root.Close()) }()
	done := make(chan error, 1)
	go func() { _, err := root.ReadFile("mnt/kmsg"); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) { // the reader's rights, or no such file
			require.ErrorIs(t, err, syscall.EAGAIN)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("hangs")
	}
}

func TestRootIsAFileSystem(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Setup: `
mount -t tmpfs none /mnt && mkdir /mnt/dir && echo a >/mnt/dir/a && echo b >/mnt/b && ln -s /mnt/b /mnt/link`})
	root, err := handle.OpenRoot(handle.NamespacePath(target.ProcDir() + "/ns/mnt"))
	require.NoError(t, err)
	defer func() { _ = root.Close() }()
	sub, err := fs.Sub(root, "mnt")
	require.NoError(t, err)
	require.NoError(t, fstest.TestFS(sub, "dir/a", "b", "link"))
}

// A mount namespace without processes, pinned inside another one that has none either.
func TestRootWithoutProcesses(t *testing.T) {
	alone(t, 0, func(t *testing.T) {
		pinToOneCPU(t)
		var outer, inner *handle.NamespaceFile
		onThrowAwayThread(t, func() {
			mnt := handle.Of(species.CLONE_NEWNS)
			ns, err := mnt.New()
			require.NoError(t, err)
			outer, err = handle.NewNamespaceFile(os.NewFile(uintptr(ns), "outer"), nil)
			require.NoError(t, err)
			require.NoError(t, syscall.Mount("none", "/run", "tmpfs", 0, ""))
			created, err := handle.Create(species.CLONE_NEWNS)
			require.NoError(t, err)
			inner = created[0]
			require.NoError(t, mnt.Pin("inner", inner))
			require.NoError(t, os.WriteFile("/run/outer", []byte("outer"), 0o600))
		})
		want := id(t, inner)
		require.NoError(t, inner.Close())
		require.NoFileExists(t, "/run/outer")
		root, err := handle.OpenRoot(outer)
		require.NoError(t, err)
		defer func() { _ = root.Close() }()
		require.NoError(t, outer.Close())
		text, err := root.ReadFile("run/outer")
		require.NoError(t, err)
		require.Equal(t, "outer", string(text))

		ns, err := root.OpenNamespace("run/nsops/mnt/inner")
		require.NoError(t, err)
		defer func() { _ = ns.Close() }()
		require.Equal(t, want, id(t, ns))
		nested, err := handle.OpenRoot(ns)
		require.NoError(t, err)
		defer func() { _ = nested.Close() }()
		_, err = nested.Stat("run/outer")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = nested.Stat("etc/passwd")
		require.NoError(t, err)
		_, err = root.OpenNamespace("run/outer")
		require.ErrorIs(t, err, syscall.EINVAL)
	})
}

// Who may inspect a process, but not join its mount namespace, reads through the process.
func TestRootWithoutRightsOverTheNamespace(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		pid, stop := startSleeper(t, 0)
		defer stop()
		process, err := handle.OpenProcess(pid)
		require.NoError(t, err)
		defer func() { _ = process.Close() }()
		ref := process.Namespace(species.CLONE_NEWNS)
		root, err := handle.OpenRoot(ref)
		require.NoError(t, err)
		defer func() { _ = root.Close() }()
		_, err = root.ReadFile("etc/passwd")
		require.NoError(t, err)
		_, err = handle.OpenRoot(handle.NamespacePath("/proc/" + itoa(pid) + "/ns/mnt"))
		require.ErrorIs(t, err, syscall.EPERM)
	})
}

func TestRootBefore5_6(t *testing.T) {
	testutil.CheckLeaks(t)
	_, process := hostileTarget(t)
	root, err := handle.OpenRoot(process.Namespace(species.CLONE_NEWNS))
	require.NoError(t, err)
	defer func() { _ = root.Close() }()
	defer sys.Pretend(sys.RootedPaths)()
	_, err = root.ReadFile("mnt/file")
	require.ErrorIs(t, err, handle.ErrNotSupported)
	require.ErrorContains(t, err, "5.6")
}
