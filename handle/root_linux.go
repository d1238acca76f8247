package handle

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Root is the files of a mount namespace, for reading, without being in it; a mount namespace without processes too. It
// is an fs.FS with ReadFile, ReadDir, Stat, Lstat and ReadLink. The caller closes it; until then it keeps the mount
// namespace alive. It is safe for concurrent use but for Close.
//
// Names are those of io/fs: "etc/os-release", without a slash at the beginning. They are resolved as by a process
// inside: absolute symbolic links and ".." lead to the namespace's own files and never out of it, nor do the links of a
// /proc (openat2(2) with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS; ErrNotSupported where a seccomp filter refuses it).
// Only regular files and directories are opened; a FIFO or device is EINVAL, and is not touched. Reading never waits
// for something to read, as /proc/kmsg does, to which a link may lead: it is EAGAIN. What the files say is still the
// container's: limit how much you read. A file system that hangs, such as a FUSE of the container, hangs its reader.
type Root struct {
	root *sys.FD
	ns   *sys.FD
	ref  string
}

// OpenRoot opens the files of a mount namespace; the caller closes the Root. It requires CAP_SYS_ADMIN over the
// namespace, and CAP_SYS_ADMIN and CAP_SYS_CHROOT in the caller's user namespace. For a [ProcessNamespace] the right to
// inspect the process is enough; then it is the process's own root directory, which chroot(2) may have changed.
func OpenRoot(ref Relation) (*Root, error) {
	fd, _, closer, err := open(ref, species.CLONE_NEWNS)
	if err != nil {
		return nil, err
	}
	defer closer()
	root, err := inside(sys.OpenRootHere, NamespaceFd(fd))
	if e := (*Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if p, ok := ref.(ProcessNamespace); ok && errors.Is(err, syscall.EPERM) {
		root, err = p.process.p.OpenRoot()
		err = sys.ExplainJoin(err, species.CLONE_NEWNS, fd)
	}
	if err == nil {
		var ns *sys.FD
		if ns, err = sys.DupFD(fd); err == nil {
			return &Root{root, ns, ref.String()}, nil
		}
		_ = root.Close()
	}
	return nil, &Error{Op: "open root", Type: species.CLONE_NEWNS, Ref: ref.String(), Err: err}
}

// Close closes the root; the mount namespace is not kept alive any more. Files that were opened stay open.
func (r *Root) Close() error { return errors.Join(r.root.Close(), r.ns.Close()) }

// String returns the reference that it was opened with.
func (r *Root) String() string { return "root of " + r.ref }

// Open opens a regular file or a directory for reading. The file can be read, sought in and read at an offset, and a
// directory listed (io.ReaderAt, io.Seeker, fs.ReadDirFile).
func (r *Root) Open(name string) (fs.File, error) {
	return resolve(r, "open", name, false, func(found *sys.FD) (fs.File, error) {
		fd, err := sys.Reopen(found)
		if err != nil {
			return nil, err
		}
		f, err := sys.Impatient(fd, name)
		if err != nil {
			return nil, err
		}
		return &rootFile{readable: f, file: f, root: r, name: name}, nil
	})
}

// resolve calls use with the file of that name. Errors are *fs.PathError.
func resolve[T any](r *Root, op, name string, nofollow bool, use func(*sys.FD) (T, error)) (result T, err error) {
	if !fs.ValidPath(name) || strings.ContainsRune(name, 0) {
		return result, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	defer runtime.KeepAlive(r)
	found, err := sys.Resolve(r.root, name, nofollow)
	if err != nil {
		return result, &fs.PathError{Op: op, Path: name, Err: notSupported(err, sys.RootedPaths)}
	}
	defer func() { _ = found.Close() }()
	if result, err = use(found); err != nil {
		err = &fs.PathError{Op: op, Path: name, Err: err}
	}
	return result, err
}

// ReadFile returns the contents of a regular file.
func (r *Root) ReadFile(name string) ([]byte, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(f) // not what the file says its size is
}

// ReadDir returns the entries of a directory, sorted by name.
func (r *Root) ReadDir(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(struct{ fs.FS }{r}, name) // without this method, which it would call
}

// Stat describes a file of any kind, without opening it.
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.stat("stat", name, false) }

// Lstat is Stat, but describes a symbolic link itself.
func (r *Root) Lstat(name string) (fs.FileInfo, error) { return r.stat("lstat", name, true) }

func (r *Root) stat(op, name string, nofollow bool) (fs.FileInfo, error) {
	return resolve(r, op, name, nofollow, func(found *sys.FD) (fs.FileInfo, error) {
		f := sys.OSFile(found, name)
		defer func() { _ = f.Close() }()
		return f.Stat()
	})
}

// ReadLink returns where a symbolic link leads.
func (r *Root) ReadLink(name string) (string, error) {
	return resolve(r, "readlink", name, true, sys.ReadLink)
}

// OpenNamespace opens the namespace that is pinned at a file in the mount namespace; the caller closes it.
func (r *Root) OpenNamespace(name string) (*NamespaceFile, error) {
	fd, err := resolve(r, "open", name, false, func(found *sys.FD) (*sys.FD, error) {
		if err := sys.CheckNsfs(found.Int()); err != nil {
			return nil, noNamespace(err)
		}
		return sys.Reopen(found)
	})
	if err != nil {
		return nil, &InvalidNamespaceError{Ref: r.String(), Err: err}
	}
	return ownFile(name, fd), nil
}

// rootFile is an open file of a Root. It has no other method of *os.File, since those of a directory look up its
// entries by a path that means something else, or nothing, outside.
type rootFile struct {
	readable
	file *os.File
	root *Root
	name string
	rest []fs.DirEntry // what ReadDir has not returned yet; nil before the first call
}

type readable interface {
	fs.File
	io.ReaderAt
	io.Seeker
}

// ReadDir returns the next n entries, or with n <= 0 all that are left.
func (f *rootFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if f.rest == nil {
		entries, err := f.entries()
		if err != nil {
			return entries, err
		}
		f.rest = slices.Grow(entries, 1) // not nil
	}
	if n <= 0 {
		n = len(f.rest)
	} else if len(f.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.rest))
	next := slices.Clone(f.rest[:n])
	f.rest = f.rest[n:]
	return next, nil
}

// entries describes what is in the directory, without what is deleted meanwhile.
func (f *rootFile) entries() ([]fs.DirEntry, error) {
	names, err := f.file.Readdirnames(-1)
	entries := make([]fs.DirEntry, 0, len(names))
	for _, entry := range names {
		info, statErr := f.root.Lstat(path.Join(f.name, entry))
		switch {
		case statErr == nil:
			entries = append(entries, fs.FileInfoToDirEntry(info))
		case !errors.Is(statErr, fs.ErrNotExist):
			err = errors.Join(err, statErr)
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}
