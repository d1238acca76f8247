package netconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// resolvCall puts something in place of the target's /etc/resolv.conf. The worker joins the mount namespace, too, and the
// user namespace, without which a file could not be made in a file system of that. It is root where everything may be a
// trap: it enters nothing through a symbolic link that leads out of the folder it is in (os.Root), opens nothing but
// regular files, and never writes to a file that it has not just made.
type resolvCall struct {
	Target string // handle's UniqueId of the network namespace
	OwnEtc folder // the caller's /etc, which is not to be changed
	Want   entry
	Look   bool // change nothing
}

// folder identifies a folder.
type folder struct{ Dev, Ino uint64 }

// entry is what resolv.conf is. In a record it is what Delete puts back.
type entry struct {
	Kind string      `json:"kind"`           // "absent", "file" or "link"
	Text string      `json:"text,omitempty"` // of a file; of a link, where it leads
	Mode fs.FileMode `json:"mode,omitempty"` // permissions of a file
}

const (
	resolvName  = "resolv.conf"
	resolvTemp  = ".resolv.conf.nsops-netconf"
	maxResolv   = 64 << 10 // bytes of a file that is to be put back one day
	kindAbsent  = "absent"
	kindFile    = "file"
	kindLink    = "link"
	defaultMode = 0o644
)

// run returns what was there before, which equals Want if nothing was, or would be, changed.
func (c *resolvCall) run() (old entry, err error) {
	if err := inTarget(c.Target); err != nil {
		return old, err
	}
	etc, err := c.openEtc()
	if err != nil {
		return old, err
	}
	defer func() { _ = etc.Close() }()
	if old, err = readEntry(etc); err != nil || c.Look || old.same(c.Want) {
		return old, err
	}
	return old, c.Want.put(etc)
}

// same compares all but the permissions.
func (e entry) same(other entry) bool { return e.Kind == other.Kind && e.Text == other.Text }

// openEtc opens the target's /etc, unless it is the caller's: with a mount namespace of its own a process may still see
// the host's files.
func (c *resolvCall) openEtc() (*os.Root, error) {
	root, err := os.OpenRoot("/")
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	etc, err := root.OpenRoot("etc")
	if err != nil {
		return nil, err
	}
	info, err := etc.Stat(".")
	if err == nil && folderOf(info.Sys().(*syscall.Stat_t)) == c.OwnEtc {
		err = errors.New("the target's /etc is the host's")
	}
	if err != nil {
		_ = etc.Close()
		return nil, err
	}
	return etc, nil
}

func folderOf(st *syscall.Stat_t) folder { return folder{st.Dev, st.Ino} }

// ownEtc identifies the calling process's /etc.
func ownEtc() (folder, error) {
	var st syscall.Stat_t
	if err := syscall.Stat("/etc", &st); err != nil {
		return folder{}, &fs.PathError{Op: "stat", Path: "/etc", Err: err}
	}
	return folderOf(&st), nil
}

func readEntry(etc *os.Root) (entry, error) {
	info, err := etc.Lstat(resolvName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return entry{Kind: kindAbsent}, nil
	case err != nil:
		return entry{}, err
	case info.Mode().Type() == fs.ModeSymlink:
		where, err := etc.Readlink(resolvName)
		return entry{Kind: kindLink, Text: where}, err
	case !info.Mode().IsRegular():
		return entry{}, fmt.Errorf("/etc/%s is neither file nor symbolic link: %s", resolvName, info.Mode())
	}
	return readFile(etc)
}

// readFile looks again at what it has opened. O_NONBLOCK: it may have become a FIFO since.
func readFile(etc *os.Root) (entry, error) {
	file, err := etc.OpenFile(resolvName, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return entry{}, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return entry{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxResolv {
		return entry{}, fmt.Errorf("/etc/%s is no regular file of up to %d bytes", resolvName, maxResolv)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxResolv))
	return entry{kindFile, string(text), info.Mode().Perm()}, err
}

// put replaces resolv.conf, whatever it is, in one rename(2): it is never half written, and a symbolic link is not
// followed. A mount point cannot be renamed over: EBUSY.
func (e entry) put(etc *os.Root) error {
	if e.Kind == kindAbsent {
		return etc.Remove(resolvName)
	}
	if err := etc.Remove(resolvTemp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := e.create(etc)
	if err == nil {
		err = etc.Rename(resolvTemp, resolvName)
	}
	if errors.Is(err, syscall.EBUSY) {
		err = fmt.Errorf("/etc/%s is a mount point; change it where it is mounted from: %w", resolvName, err)
	}
	if err != nil {
		_ = etc.Remove(resolvTemp)
	}
	return err
}

// create makes the file that is renamed.
func (e entry) create(etc *os.Root) error {
	if e.Kind == kindLink {
		return etc.Symlink(e.Text, resolvTemp)
	}
	file, err := etc.OpenFile(resolvTemp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(e.Text)
	return errors.Join(err, file.Chmod(e.Mode), file.Close())
}
