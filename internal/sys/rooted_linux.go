package sys

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
)

// OpenRootHere opens the calling thread's root directory, as a place to resolve paths from (O_PATH).
func OpenRootHere() (*FD, error) { return openDir("/") }

// ChangeRoot makes a directory the root and the working directory of the calling thread, which must not share them with
// another one (unshare(2), CLONE_FS). EXDEV: the directory is not in the thread's mount namespace.
func ChangeRoot(root *FD) error {
	if err := unix.Fchdir(root.Int()); err != nil {
		return err
	}
	path := make([]byte, unix.PathMax)
	if n, err := unix.Getcwd(path); err != nil || n < 2 || path[0] != '/' { // "(unreachable)/"
		return cmp.Or(err, error(unix.EXDEV))
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// Resolve finds path below root as a process with that root directory would: absolute symbolic links and ".." stay
// within it, and other links of /proc are refused (openat2(2), RESOLVE_IN_ROOT). The file is not opened (O_PATH), so
// that a FIFO, a device or a lack of rights does not matter yet. With nofollow it may be a symbolic link itself.
func Resolve(root *FD, path string, nofollow bool) (*FD, error) {
	if pretended(RootedPaths) {
		return nil, unix.ENOSYS
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if nofollow {
		how.Flags |= unix.O_NOFOLLOW
	}
	const attempts = 128
	for i := 0; ; i++ {
		found, err := open(func() (int, error) { return unix.Openat2(root.Int(), path, &how) })
		if err != unix.EAGAIN || i == attempts { // EAGAIN: a rename elsewhere, and ".." may have left the root
			return found, err
		}
	}
}

// Reopen opens for reading the very file that Resolve found, through the /proc that is kept. EINVAL: it is neither a
// regular file, as namespaces are, nor a directory: to open others may hang or have effects.
func Reopen(found *FD) (*FD, error) {
	st, err := fstat(found.Int())
	if err != nil {
		return nil, err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return nil, unix.EINVAL
	}
	proc, err := keptProcDir()
	if err != nil {
		return nil, err
	}
	return openFile(proc.number, "thread-self/fd/"+strconv.Itoa(found.Int()), raw.ForReading)
}

// Impatient returns a file whose Read says EAGAIN where others wait for something to read. Package os waits for a
// descriptor that does not (O_NONBLOCK) when it gets it, so it is made so afterwards.
func Impatient(fd *FD, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd.Int(), false); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd.Int()), name)
	err := unix.SetNonblock(fd.Disown(), true)
	return f, err
}

// ReadLink returns where the symbolic link leads that Resolve found.
func ReadLink(found *FD) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(found.Int(), "", buffer)
	if errors.Is(err, unix.ENOENT) { // the kernel's answer for what is no link
		return "", &fs.PathError{Op: "readlink", Path: "", Err: unix.EINVAL}
	}
	return string(buffer[:max(0, n)]), err
}

// OpenOn opens for reading what is at path if it is on the file system with that device number, else EINVAL. It opens
// nothing else, even if somebody replaces it meanwhile: a device, or a file system that does not answer.
func OpenOn(dev uint64, dir int, path *raw.Path) (int, syscall.Errno) {
	found, errno := raw.Open(dir, path, unix.O_PATH)
	if errno != 0 {
		return raw.NoFD, errno
	}
	defer raw.Close(found)
	var st raw.Status
	if errno := raw.Stat(found, &st); errno != 0 {
		return raw.NoFD, errno
	}
	if st.Dev != dev {
		return raw.NoFD, unix.EINVAL
	}
	proc, err := keptProcDir()
	if err != nil {
		return raw.NoFD, raw.Errno(err)
	}
	own := raw.NewPath("thread-self/fd/" + strconv.Itoa(found))
	return raw.Open(proc.number, &own, raw.ForReading)
}
