package netconf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/species"
)

// addSysctls adds a step for each that is not as configured. A thread in the network namespace is enough: the files in
// /proc/sys/net are those of whoever opens them.
func (p *Plan) addSysctls() error {
	write := func(path, value string) func() error {
		return func() error {
			return p.inTarget(func() error { return os.WriteFile("/proc/sys/"+path, []byte(value+"\n"), 0) })
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Sysctls)) {
		path, value, old := sysctlPath(name), p.Sysctls[name], []byte(nil)
		err := p.inTarget(func() (err error) {
			old, err = os.ReadFile("/proc/sys/" + path)
			return err
		})
		undo := write(path, strings.TrimSpace(string(old)))
		if p.peer == nil && errors.Is(err, fs.ErrNotExist) { // it comes with the interface, and goes with it
			err, undo = nil, nil
		}
		if err != nil {
			return err
		}
		isSet := slices.Equal(strings.Fields(string(old)), strings.Fields(value))
		p.add(isSet, "set "+name+"="+value+" in the target", write(path, value), undo)
	}
	return nil
}

// addResolvConf adds a step if resolv.conf is not as configured: the last one, so that no other fails after it.
func (p *Plan) addResolvConf() error {
	text := p.DNS.text()
	if text == "" {
		return nil
	}
	host, _ := os.Lstat("/etc")
	target, err := os.Lstat(fmt.Sprintf("/proc/%d/root/etc", p.PID))
	if err != nil || os.SameFile(host, target) {
		return errors.Join(errors.New("dns needs the PID of a process whose /etc is not the host's"), err)
	}
	isDone, err := p.resolvConf("look", text)
	p.add(isDone, "write /etc/resolv.conf in the target", func() error {
		_, err := p.resolvConf("write", text)
		return err
	}, nil)
	return err
}

// resolvConf makes a call in the target. It joins the mount namespace and, to own the files that it makes, the user
// namespace: that takes a process. It ends in time: the target's file system may be one that never answers.
func (s *Session) resolvConf(op, text string) (isDone bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = call.NewCall("netconf.resolvConf").TargetPid(s.PID).Context(ctx).
		Namespaces(species.CLONE_NEWUSER, species.CLONE_NEWNS, species.CLONE_NEWNET).
		Arg(resolvCall{op, text, s.Target.UniqueId()}).SpawnInNamespaces(&isDone)
	return isDone, err
}

func init() {
	call.RegisterReexec("netconf.resolvConf", func(arg any) (any, error) { return arg.(*resolvCall).run() }, resolvCall{})
}

// resolvCall is what the worker does. It is root where everything may be a trap, so it leaves /etc through no symbolic
// link. The end of the process closes its descriptors.
type resolvCall struct {
	Op     string // "look", "write" or "restore"
	Text   string
	Target string // the network namespace in which it has to be
}

func (c *resolvCall) run() (isDone bool, err error) {
	own, err := handle.Get()
	if err != nil || own.UniqueId() != c.Target { // another process has got the PID
		return false, cmp.Or(err, fmt.Errorf("in %s, not %s: %w", own.UniqueId(), c.Target, handle.ErrStale))
	}
	root, err := os.OpenRoot("/")
	if err != nil {
		return false, err
	}
	etc, err := root.OpenRoot("etc")
	switch {
	case err != nil:
		return false, err
	case c.Op == "write":
		return true, write(etc, c.Text)
	case c.Op == "restore":
		return true, restore(etc)
	}
	file, _ := etc.OpenFile(resolvConf, os.O_RDONLY|unix.O_NONBLOCK, 0) // it may be a FIFO, or not be there
	text, _ := io.ReadAll(io.LimitReader(file, int64(len(c.Text))+1))
	return string(text) == c.Text, nil
}

// Names in the target's /etc. There is a complete resolv.conf at each moment, and what it was before.
const (
	resolvConf  = "resolv.conf"
	resolvNew   = ".resolv.conf.netconf-new"
	resolvSaved = ".resolv.conf.netconf-saved" // a hard link to it; an empty file if there was none
)

// write replaces resolv.conf, which stays under another name, unless that is of an earlier run.
func write(etc *os.Root, text string) error {
	if info, err := etc.Lstat(resolvConf); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("/etc/resolv.conf is no regular file (%v): configure what it stands for", info.Mode())
	}
	err := etc.Link(resolvConf, resolvSaved) // EXDEV if it is a mount point
	if errors.Is(err, fs.ErrNotExist) {
		_, err = etc.OpenFile(resolvSaved, os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	_ = etc.Remove(resolvNew) // of a run that was killed
	defer func() { _ = etc.Remove(resolvNew) }()
	if err := cmp.Or(etc.WriteFile(resolvNew, []byte(text), 0), etc.Chmod(resolvNew, 0o644)); err != nil {
		return err
	}
	return etc.Rename(resolvNew, resolvConf)
}

// restore puts back what write has kept, if it has.
func restore(etc *os.Root) error {
	_ = etc.Remove(resolvNew)
	err := etc.Rename(resolvSaved, resolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_ = etc.Remove(resolvSaved) // rename(2) leaves it if both are the same file
	return err
}
