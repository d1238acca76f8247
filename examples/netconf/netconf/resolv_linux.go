package netconf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/species"
)

// addResolvConf adds a step for name servers that are not as configured.
func (p *Plan) addResolvConf() error {
	text := p.DNS.text()
	if text == "" {
		return nil
	}
	found, err := p.resolvConf("look", text)
	if err != nil || found.Same {
		return err
	}
	write := func() error {
		_, err := p.resolvConf("write", text)
		return err
	}
	p.steps = append(p.steps, step{"write /etc/resolv.conf in the target", true, p.changing(resolvConf, found.Etc, write)})
	return nil
}

func (s *Session) restoreResolvConf(etc string) error {
	found, err := s.resolvConf("restore", etc)
	if err == nil && found.Etc != etc {
		err = errors.New("resolv.conf is not the one that was changed: give the PID that was given then")
	}
	return err
}

func init() {
	call.RegisterReexec("netconf.resolvConf", func(arg any) (any, error) { return arg.(*resolvCall).run() }, resolvCall{})
}

// resolvConf runs a resolvCall in the target. To restore goes on when the context has ended.
func (s *Session) resolvConf(op, text string) (found resolvFound, err error) {
	etc, err := os.Stat("/etc")
	if err != nil || s.PID == 0 {
		return found, cmp.Or(err, fmt.Errorf("dns %w", ErrNeedsPID))
	}
	ctx := s.ctx
	if op == "restore" {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // the target's file system may be one that never answers
	defer cancel()
	err = call.NewCall("netconf.resolvConf").TargetPid(s.PID).Context(ctx).
		Namespaces(species.CLONE_NEWUSER, species.CLONE_NEWNS, species.CLONE_NEWNET).
		Arg(resolvCall{op, text, s.Target.UniqueId(), idOf(etc)}).SpawnInNamespaces(&found)
	return found, err
}

// resolvCall looks at the target's resolv.conf, or changes it. It runs in the mount namespace and, so that it owns the
// files that it makes, in the user namespace: that takes a process. It is root where everything may be a trap, so it
// leaves /etc through no symbolic link, and writes to no file that it has not just made. The end of the process closes
// its descriptors.
type resolvCall struct {
	Op      string // "look", "write" or "restore"
	Text    string // of resolv.conf; to restore, idOf the only /etc that is to be restored
	Target  string // the network namespace in which it has to be
	HostEtc string // idOf the /etc in which it must not be
}

// resolvFound is what was there before.
type resolvFound struct {
	Etc  string // idOf /etc
	Same bool   // resolv.conf was as wanted
}

// idOf returns device and inode number.
func idOf(folder fs.FileInfo) string {
	st := folder.Sys().(*syscall.Stat_t)
	return fmt.Sprint(st.Dev, " ", st.Ino)
}

// Names in /etc. There is a complete resolv.conf at each moment, and what it was before.
const (
	resolvConf  = "resolv.conf"
	resolvNew   = ".resolv.conf.netconf-new"
	resolvSaved = ".resolv.conf.netconf-saved" // a hard link to it; if there was none, a symbolic link to resolvNone
	resolvNone  = ".resolv.conf.netconf-none"
)

// run is what the worker does.
func (c *resolvCall) run() (found resolvFound, err error) {
	etc, err := c.open()
	if err != nil {
		return found, err
	}
	info, err := etc.Stat(".")
	if err != nil {
		return found, err
	}
	found.Etc = idOf(info)
	switch {
	case found.Etc == c.HostEtc:
		err = errors.New("the target's /etc is the host's: configure that one yourself")
	case c.Op == "write":
		err = c.write(etc)
	case c.Op == "restore" && found.Etc == c.Text:
		err = restore(etc)
	case c.Op == "look":
		file, failed := etc.OpenFile(resolvConf, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a FIFO
		if failed == nil {
			text, _ := io.ReadAll(io.LimitReader(file, int64(len(c.Text))+1))
			found.Same = string(text) == c.Text
		}
	}
	return found, err
}

// open opens /etc, unless it leads out of the root, or another process has got the PID.
func (c *resolvCall) open() (*os.Root, error) {
	own, err := handle.Get()
	if err != nil || own.UniqueId() != c.Target {
		return nil, cmp.Or(err, fmt.Errorf("in %s, not %s: %w", own.UniqueId(), c.Target, handle.ErrStale))
	}
	root, err := os.OpenRoot("/")
	if err != nil {
		return nil, err
	}
	return root.OpenRoot("etc")
}

// write saves resolv.conf, unless an earlier run has done so, and replaces it, whatever it is, with rename(2).
func (c *resolvCall) write(etc *os.Root) error {
	err := etc.Link(resolvConf, resolvSaved)
	if errors.Is(err, fs.ErrNotExist) {
		err = etc.Symlink(resolvNone, resolvSaved)
	}
	if errors.Is(err, syscall.EXDEV) {
		return fmt.Errorf("/etc/resolv.conf is a mount point: change it where it is mounted from: %w", err)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	_ = etc.Remove(resolvNew) // of a run that was killed
	file, err := etc.OpenFile(resolvNew, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(c.Text)
	if err = cmp.Or(err, file.Chmod(0o644)); err != nil {
		return err
	}
	return etc.Rename(resolvNew, resolvConf)
}

// restore does nothing if nothing was saved.
func restore(etc *os.Root) error {
	_ = etc.Remove(resolvNew)
	to, err := etc.Readlink(resolvSaved)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case to == resolvNone:
		err = etc.Remove(resolvConf)
	default:
		err = etc.Rename(resolvSaved, resolvConf)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		_ = etc.Remove(resolvSaved) // rename(2) leaves it if both are the same file
		return nil
	}
	return err
}
