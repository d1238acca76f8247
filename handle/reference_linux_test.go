package handle_test

import (
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// references returns every kind of reference to the calling thread's namespace.
func references(t *testing.T, of species.NamespaceType) map[string]handle.Relation {
	t.Helper()
	path := "/proc/self/ns/" + of.Name()
	file, err := handle.NewNamespaceFile(os.Open(path))
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	ns, err := file.Handle()
	require.NoError(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	typedFd, err := handle.NewTypedNamespaceFd(int(ns), species.NaNS)
	require.NoError(t, err)
	f, err := os.Open(path)
	require.NoError(t, err)
	typedFile, err := handle.NewTypedNamespaceFile(f, of)
	require.NoError(t, err)
	t.Cleanup(func() { _ = typedFile.Close() })
	process, err := handle.OpenProcess(os.Getpid())
	require.NoError(t, err)
	t.Cleanup(func() { _ = process.Close() })
	portable, err := handle.NewPortable(process.Namespace(of))
	require.NoError(t, err)
	refs := map[string]handle.Relation{
		"path": handle.NamespacePath(path), "fd": handle.NamespaceFd(ns), "file": file, "handle": ns,
		"typed path": handle.NewTypedNamespacePath(path, of), "typed fd": typedFd, "typed file": typedFile,
		"process": process.Namespace(of), "portable": portable,
	}
	if fileHandle, err := handle.NewFileHandle(ns); err == nil {
		refs["file handle"] = fileHandle
	} else {
		require.ErrorIs(t, err, handle.ErrNotSupported)
	}
	return refs
}

func TestReferencesAgree(t *testing.T) {
	testutil.CheckLeaks(t)
	var stat syscall.Stat_t
	for of := range species.Set(species.AllNS).All() {
		require.NoError(t, syscall.Stat("/proc/self/ns/"+of.Name(), &stat))
		want := species.NamespaceID{Dev: uint64(stat.Dev), Ino: stat.Ino} //nolint:unconvert // 32 bits on mips
		for kind, ref := range references(t, of) {
			t.Run(of.Name()+" "+kind, func(t *testing.T) { checkReference(t, ref, of, want) })
		}
	}
}

func checkReference(t *testing.T, ref handle.Relation, of species.NamespaceType, want species.NamespaceID) {
	t.Helper()
	require.Equal(t, want, id(t, ref))
	found, err := ref.Type()
	require.NoError(t, err)
	require.Equal(t, of, found)
	require.NotEmpty(t, ref.String())

	fd, closer, err := ref.NsFd()
	require.NoError(t, err)
	require.Equal(t, want, id(t, handle.NamespaceFd(fd)))
	closer()
	opened, release, err := ref.OpenTypedReference()
	require.NoError(t, err)
	require.Equal(t, want, id(t, opened))
	release()

	owner, err := ref.User()
	if of != species.CLONE_NEWUSER && !isOwned(t, of) { // in a container
		require.ErrorIs(t, err, syscall.EPERM, "owned from above")
		require.Nil(t, owner)
	} else if of == species.CLONE_NEWUSER {
		require.ErrorIs(t, err, syscall.EPERM, "above the caller's own")
		require.Nil(t, owner)
		uid, err := ref.OwnerUID()
		require.NoError(t, err)
		f, err := os.Open("/proc/self/ns/user")
		require.NoError(t, err)
		defer func() { _ = f.Close() }()
		want, err := unix.IoctlGetUint32(int(f.Fd()), unix.NS_GET_OWNER_UID)
		require.NoError(t, err)
		require.EqualValues(t, want, uid, "0, or for a user outside of a container, the overflow ID")
	} else {
		require.NoError(t, err)
		require.Equal(t, here(t, species.CLONE_NEWUSER), id(t, owner))
		require.NoError(t, owner.Close())
		require.ErrorIs(t, owner.Close(), fs.ErrClosed)
		_, err = owner.ID()
		require.ErrorIs(t, err, handle.ErrClosed)
		_, err = ref.OwnerUID()
		require.ErrorIs(t, err, syscall.EINVAL)
		checkOperationError(t, err, "owner UID", ref)
	}
	_, err = ref.Parent()
	if of == species.CLONE_NEWUSER || of == species.CLONE_NEWPID {
		require.ErrorIs(t, err, syscall.EPERM)
	} else {
		require.ErrorIs(t, err, syscall.EINVAL)
	}
	checkOperationError(t, err, "parent", ref)
}

func checkOperationError(t *testing.T, err error, op string, ref handle.Relation) {
	t.Helper()
	var operation *handle.NamespaceOperationError
	require.ErrorAs(t, err, &operation)
	require.Equal(t, op, operation.Op)
	require.Equal(t, ref.String(), operation.Ref)
	var general *handle.Error
	require.ErrorAs(t, err, &general)
	require.Equal(t, op, general.Op)
}

func TestInvalidReferences(t *testing.T) {
	testutil.CheckLeaks(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	plain, err := handle.NewNamespaceFile(os.Open(file))
	require.NoError(t, err)
	defer func() { _ = plain.Close() }()
	_, err = handle.NewNamespaceFile(os.Open(file + "-none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = handle.NewNamespaceFile(nil, nil)
	require.Error(t, err)

	for _, ref := range []handle.Relation{
		handle.NamespacePath(file), handle.NamespacePath(""), handle.NamespacePath("/proc/self/status"), plain,
		handle.NamespaceFd(-1), handle.NamespaceFd(int(plain.Fd())), handle.NamespaceFd(9999), handle.None(),
		(*handle.NamespaceFile)(nil), handle.ProcessNamespace{}, handle.FileHandle{}, handle.Portable{},
		handle.NewTypedNamespacePath("/proc/self/ns/net", species.CLONE_NEWUTS),
	} {
		for op, ask := range map[string]func() error{
			"ID":                 func() error { _, err := ref.ID(); return err },
			"Type":               func() error { _, err := ref.Type(); return err },
			"User":               func() error { _, err := ref.User(); return err },
			"Parent":             func() error { _, err := ref.Parent(); return err },
			"OwnerUID":           func() error { _, err := ref.OwnerUID(); return err },
			"OpenTypedReference": func() error { _, _, err := ref.OpenTypedReference(); return err },
			"Visit":              func() error { return handle.Visit(func() {}, ref) },
			"Go":                 func() error { return handle.Go(func() {}, ref) },
		} {
			err := ask()
			var invalid *handle.InvalidNamespaceError
			require.ErrorAs(t, err, &invalid, "%s of %s", op, ref)
			var general *handle.Error
			require.ErrorAs(t, err, &general)
			require.Equal(t, invalid.Ref, general.Ref)
		}
	}
	require.ErrorIs(t, handle.Go(func() {}, nil), syscall.EINVAL)
}

func TestTypedReferencesOfAnotherType(t *testing.T) {
	testutil.CheckLeaks(t)
	ns, err := handle.Get()
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	_, err = handle.NewTypedNamespaceFd(int(ns), species.CLONE_NEWUTS)
	require.ErrorIs(t, err, syscall.EINVAL)
	require.ErrorContains(t, err, "it is a net namespace")
	f, err := os.Open("/proc/self/ns/net")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	_, err = handle.NewTypedNamespaceFile(f, species.CLONE_NEWUTS)
	require.ErrorIs(t, err, syscall.EINVAL)
	_, err = f.Stat()
	require.NoError(t, err, "still the caller's")
}

// outsider is a Relation of another package, of which only NsFd is used.
type outsider struct{ handle.NamespacePath }

func (outsider) String() string { return "outsider" }

func TestOutsidersRelations(t *testing.T) {
	testutil.CheckLeaks(t)
	testutil.NeedRoot(t)
	ref := outsider{"/proc/self/ns/uts"}
	require.NoError(t, handle.Visit(func() {}, ref))
	require.NoError(t, handle.Go(func() {}, ref))
	_, err := handle.Serial(ref)
	testutil.NeedFeature(t, "NS_GET_ID", 6, 18, err)
}

func TestUserAndParentClimb(t *testing.T) {
	testutil.CheckLeaks(t)
	created := create(t, species.CLONE_NEWUSER, species.CLONE_NEWNET, species.CLONE_NEWPID)
	user, network, pid := created[0], created[1], created[2]
	for _, ref := range []handle.Relation{network, pid} {
		owner, err := ref.User()
		require.NoError(t, err)
		require.Equal(t, id(t, user), id(t, owner))
		require.NoError(t, owner.Close())
	}
	for ref, top := range map[handle.Relation]species.NamespaceType{user: species.CLONE_NEWUSER, pid: species.CLONE_NEWPID} {
		parent, err := ref.Parent()
		require.NoError(t, err)
		require.Equal(t, here(t, top), id(t, parent))
		require.NoError(t, parent.Close())
	}
	uid, err := user.OwnerUID()
	require.NoError(t, err)
	require.Equal(t, os.Geteuid(), uid)
}

// Inside a user namespace, that is the top.
func TestClimbInAUserNamespace(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		testutil.CheckLeaks(t)
		outer := create(t, species.CLONE_NEWUSER, species.CLONE_NEWUTS)
		owner, err := outer[1].User()
		require.NoError(t, err)
		require.Equal(t, id(t, outer[0]), id(t, owner))
		parent, err := owner.Parent()
		require.NoError(t, err)
		require.Equal(t, here(t, species.CLONE_NEWUSER), id(t, parent))
		require.NoError(t, owner.Close())
		_, err = parent.Parent()
		require.ErrorIs(t, err, syscall.EPERM)
		uid, err := parent.OwnerUID()
		require.NoError(t, err)
		require.Equal(t, testutil.OwnerOfUserns(), uid)
		require.NoError(t, parent.Close())
	})
}

func TestLostFilesAreClosed(t *testing.T) {
	testutil.CheckLeaks(t)
	for range 10 {
		_, err := handle.NamespacePath("/proc/self/ns/net").User()
		require.NoError(t, err)
	}
	for range 5 {
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
	}
}

func TestNetworkNamespaceOfASocket(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := newNetwork(t)
	var listener net.Listener
	_, err := handle.Execute(func() any {
		var err error
		listener, err = net.Listen("unix", "@nsops-test") //nolint:noctx
		require.NoError(t, err)
		return nil
	}, ns)
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	found, err := handle.GetFromConn(listener.(*net.UnixListener))
	require.NoError(t, err)
	defer func() { _ = found.Close() }()
	require.True(t, found.Equal(ns))
	_, err = handle.GetFromSocket(int(ns))
	require.ErrorIs(t, err, syscall.EINVAL)
	_, err = handle.GetFromSocket(-1)
	require.ErrorIs(t, err, syscall.EBADF)
}

func TestTranslatePID(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	other := testutil.StartTarget(t, testutil.TargetOptions{})
	inside := handle.NamespacePath(target.ProcDir() + "/ns/pid")
	elsewhere := handle.NamespacePath(other.ProcDir() + "/ns/pid")
	ours := handle.NamespacePath("/proc/self/ns/pid")
	check := func() {
		for _, row := range []struct {
			pid, want int
			from, to  handle.Relation
		}{
			{target.PID, 1, nil, inside}, {1, target.PID, inside, nil}, {target.PID, 1, ours, inside},
			{1, target.PID, inside, ours}, {1, 1, inside, inside}, {os.Getpid(), os.Getpid(), nil, nil},
		} {
			got, err := handle.TranslatePID(row.pid, row.from, row.to)
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		}
		for _, row := range []struct {
			pid      int
			from, to handle.Relation
		}{{os.Getpid(), nil, inside}, {target.PID, inside, nil}, {1, inside, elsewhere}, {1 << 30, nil, nil}} {
			_, err := handle.TranslatePID(row.pid, row.from, row.to)
			require.ErrorIs(t, err, syscall.ESRCH)
		}
		_, err := handle.TranslatePID(1, handle.NamespacePath("/proc/self/ns/net"), nil)
		require.ErrorIs(t, err, syscall.EINVAL)
		_, err = handle.TranslatePID(0, nil, inside)
		require.ErrorIs(t, err, syscall.EINVAL)
	}
	check()
	defer sys.Pretend(sys.PIDTranslation)()
	check()
}

func TestReferencesToAProcessThatEnds(t *testing.T) {
	testutil.CheckLeaks(t)
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	process, err := handle.OpenProcess(cmd.Process.Pid)
	require.NoError(t, err)
	ref := process.Namespace(species.CLONE_NEWUTS)
	require.Equal(t, here(t, species.CLONE_NEWUTS), id(t, ref))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	_, err = ref.ID()
	require.ErrorIs(t, err, handle.ErrStale)
	require.ErrorIs(t, err, syscall.ESRCH)
	require.NoError(t, process.Close())
	_, err = handle.OpenProcess(cmd.Process.Pid)
	require.ErrorIs(t, err, syscall.ESRCH)
}
