package handle_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// References that lead nowhere, also as nobody is meant to make them, answer with errors.
func TestReferencesToNothing(t *testing.T) {
	testutil.CheckLeaks(t)
	var failed handle.Relation
	failed, err := handle.NamespacePath("/nowhere").User()
	require.Error(t, err)
	for name, ref := range map[string]handle.Relation{
		"NamespaceFile":      &handle.NamespaceFile{},
		"nil NamespaceFile":  (*handle.NamespaceFile)(nil),
		"User that failed":   failed,
		"TypedNamespaceFile": &handle.TypedNamespaceFile{},
		"TypedNamespacePath": &handle.TypedNamespacePath{},
		"TypedNamespaceFd":   &handle.TypedNamespaceFd{},
		"ProcessNamespace":   handle.ProcessNamespace{},
		"Process":            (&handle.Process{}).Namespace(species.CLONE_NEWUTS),
		"FileHandle":         handle.FileHandle{},
		"Portable":           handle.Portable{},
		"NamespacePath":      handle.NamespacePath(""),
		"None":               handle.None(),
	} {
		require.NotEmpty(t, ref.String(), name)
		require.NotEmpty(t, fmt.Sprint(ref), name)
		for _, err := range []error{
			second(ref.ID()), second(ref.Type()), second(ref.User()), second(ref.Parent()), second(ref.OwnerUID()),
			handle.Go(func() {}, ref), handle.Visit(func() {}, ref), second(handle.NewPortable(ref)), second(handle.Serial(ref)),
			second(handle.OpenRoot(ref)), handle.Of(species.CLONE_NEWUTS).Pin("x", ref), second(handle.NewFileHandle(ref)),
		} {
			var e *handle.Error
			require.ErrorAs(t, err, &e, name)
		}
		_, _, err := ref.OpenTypedReference()
		require.Error(t, err, name)
		if closer, ok := ref.(interface{ Close() error }); ok {
			require.Error(t, closer.Close(), name)
		}
	}
	_, err = (&handle.NamespaceFile{}).Handle()
	require.ErrorIs(t, err, os.ErrInvalid)
	require.NoError(t, (&handle.Process{}).Close())
	_, err = (&handle.Root{}).Open("etc")
	require.ErrorIs(t, err, syscall.EBADF)
	require.NoError(t, (&handle.Root{}).Close())
}

func TestTypedPathOfWhateverType(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, of := range []species.NamespaceType{species.CLONE_NEWNET, species.CLONE_NEWUSER} {
		path := "/proc/thread-self/ns/" + of.Name()
		ref := handle.NewTypedNamespacePath(path, species.NaNS)
		require.Equal(t, "path "+path, ref.String())
		found, err := ref.Type()
		require.NoError(t, err)
		require.Equal(t, of, found)
		require.Equal(t, id(t, handle.NamespacePath(path)), id(t, ref))
		opened, release, err := ref.OpenTypedReference()
		require.NoError(t, err)
		require.Contains(t, opened.String(), of.Name())
		release()
	}
	_, err := handle.NewTypedNamespacePath("/", species.NaNS).ID()
	require.ErrorIs(t, err, syscall.EINVAL)
	require.ErrorContains(t, err, "a directory")
}

// What is no namespace is called by what it is.
func TestWhatIsNoNamespace(t *testing.T) {
	testutil.CheckLeaks(t)
	empty := t.TempDir() + "/empty"
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for path, what := range map[string]string{"/": "a directory", empty: "an empty file", "/dev/null": "another kind", "/proc/self/status": "another kind"} {
		for _, err := range []error{second(handle.GetFromPath(path)), second(handle.NamespacePath(path).ID())} {
			require.ErrorIs(t, err, syscall.EINVAL, path)
			require.ErrorContains(t, err, what, path)
			require.NotContains(t, err.Error(), "crashed", path)
		}
	}
}

// ID mappings without a user namespace are of nobody; with a PID namespace the child waited for them for ever.
func TestCreatorWithoutAUserNamespace(t *testing.T) {
	testutil.CheckLeaks(t)
	creator := handle.Creator{UIDs: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}}
	for _, types := range [][]species.NamespaceType{{species.CLONE_NEWPID}, {species.CLONE_NEWUTS}, {species.CLONE_NEWNET, species.CLONE_NEWPID}} {
		done := make(chan error, 1)
		go func() { _, err := creator.Create(types...); done <- err }()
		select {
		case err := <-done:
			require.ErrorIs(t, err, syscall.EINVAL)
			require.ErrorContains(t, err, "user namespace")
			var e *handle.Error
			require.ErrorAs(t, err, &e)
		case <-time.After(10 * time.Second):
			t.Fatalf("%v: it waits for ever", types)
		}
	}
}

// A Portable that lacks a part of what NewPortable fills in finds the namespace by the rest, or says what is lacking.
func TestPortableWithoutSomeFields(t *testing.T) {
	testutil.CheckLeaks(t)
	process, err := handle.OpenProcess(os.Getpid())
	require.NoError(t, err)
	defer func() { _ = process.Close() }()
	whole, err := handle.NewPortable(process.Namespace(species.CLONE_NEWUTS))
	require.NoError(t, err)
	path := whole
	path.PID, path.Start, path.Path = 0, 0, "/proc/self/ns/uts"
	for _, complete := range []handle.Portable{whole, path} {
		for name, change := range map[string]func(p *handle.Portable){
			"start":     func(p *handle.Portable) { p.Start = 0 },
			"serial":    func(p *handle.Portable) { p.Serial = 0 },
			"device":    func(p *handle.Portable) { p.NSID.Dev = 0 },
			"all three": func(p *handle.Portable) { p.Start, p.Serial, p.NSID.Dev = 0, 0, 0 },
		} {
			p := complete
			change(&p)
			found, err := p.ID()
			require.NoError(t, err, name)
			require.Equal(t, whole.NSID, found)
			p.NSID.Ino++
			_, err = p.ID()
			require.ErrorIs(t, err, handle.ErrStale, name)
		}
		for name, change := range map[string]func(p *handle.Portable){
			"a type": func(p *handle.Portable) { p.NSType = 0 },
			"an ID":  func(p *handle.Portable) { p.NSID = species.NoneID },
			"a path": func(p *handle.Portable) { p.Path, p.PID, p.Serial = "", 0, 0 },
		} {
			p := complete
			change(&p)
			_, err := p.Open()
			require.NotErrorIs(t, err, handle.ErrStale, name)
			require.ErrorIs(t, err, syscall.EINVAL, name)
			require.ErrorContains(t, err, "without "+name)
		}
	}
}
