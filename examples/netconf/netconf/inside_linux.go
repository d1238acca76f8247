package netconf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/handle"
)

// Names of the handlers that run in the target's namespaces.
const (
	sysctlHandler = "nsops/examples/netconf.sysctls"
	resolvHandler = "nsops/examples/netconf.resolv"
)

func init() {
	call.RegisterReexec(sysctlHandler, func(arg any) (any, error) { return arg.(*sysctlCall).run() }, sysctlCall{})
	call.RegisterReexec(resolvHandler, func(arg any) (any, error) { return arg.(*resolvCall).run() }, resolvCall{})
}

// inTarget makes sure that the worker is in the network namespace that was looked up at the start: a PID may have been
// used again since, and a process may have gone elsewhere.
func inTarget(target string) error {
	own, err := handle.Get()
	if err != nil {
		return err
	}
	defer func() { _ = own.Close() }()
	if own.UniqueId() != target {
		return fmt.Errorf("in %s, not %s: %w", own.UniqueId(), target, handle.ErrStale)
	}
	return nil
}

// sysctlCall sets sysctls. The worker joins the network namespace only, and so has the host's /proc: the target's may
// be anything. The files in /proc/sys/net are those of the network namespace of whoever opens them.
type sysctlCall struct {
	Target string            // handle's UniqueId of the network namespace
	Values map[string]string // by path below /proc/sys
	Look   bool              // change nothing
	Revert bool              // values are old ones, and files that are gone are passed over
}

// run returns the old values of the files that it changed, or would change. If one cannot be set, all are as before.
func (c *sysctlCall) run() (old map[string]string, err error) {
	if err := inTarget(c.Target); err != nil {
		return nil, err
	}
	proc, err := os.OpenRoot("/proc/sys")
	if err != nil {
		return nil, err
	}
	defer func() { _ = proc.Close() }()
	old = map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(c.Values)) {
		before, err := c.set(proc, path, c.Values[path])
		switch {
		case c.Revert && errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, errors.Join(err, c.revert(proc, old))
		case !sameFields(before, c.Values[path]):
			old[path] = before
		}
	}
	return old, nil
}

func (c *sysctlCall) revert(proc *os.Root, old map[string]string) error {
	var problems []error
	for _, path := range slices.Sorted(maps.Keys(old)) {
		_, err := c.set(proc, path, old[path])
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// set returns the value that the file had. It writes only what is not there.
func (c *sysctlCall) set(proc *os.Root, path, value string) (before string, err error) {
	if before, err = readSysctl(proc, path); err != nil || c.Look || sameFields(before, value) {
		return before, err
	}
	file, err := openSysctl(proc, path, os.O_WRONLY)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(value)
	return before, errors.Join(err, file.Close())
}

func readSysctl(proc *os.Root, path string) (string, error) {
	file, err := openSysctl(proc, path, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text := make([]byte, 4096)
	n, err := file.Read(text)
	if n == 0 && err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(text[:n])), nil
}

const procMagic = 0x9fa0 // PROC_SUPER_MAGIC

// openSysctl makes sure that the file is of proc, though the host's /proc is trusted: containers nest.
func openSysctl(proc *os.Root, path string, flag int) (*os.File, error) {
	file, err := proc.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	var st syscall.Statfs_t
	if err = syscall.Fstatfs(int(file.Fd()), &st); err == nil && st.Type != procMagic {
		err = fmt.Errorf("/proc/sys/%s is not of a proc file system", path)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// sameFields compares values as sysctl files do: what is between the numbers of a list does not matter.
func sameFields(a, b string) bool { return slices.Equal(strings.Fields(a), strings.Fields(b)) }
