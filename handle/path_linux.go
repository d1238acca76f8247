package handle

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
)

// NamespacePath refers to the namespace that is at a path at the time of use: a pin, or a link such as
// /proc/PID/ns/net. It keeps nothing alive. A relative path is the calling thread's, /proc/self the main thread's. A
// file that is no namespace is not opened.
type NamespacePath string

// NsFd opens the namespace.
func (p NamespacePath) NsFd() (int, FdCloser, error) {
	fd, err := openPath(string(p))
	return opened(p, fd, err)
}

// openPath opens the namespace at a path. The error says what is there instead.
func openPath(path string) (*sys.FD, error) {
	fd, err := sys.OpenNamespace(path)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, syscall.EINVAL):
		return nil, fmt.Errorf("%s: %w", instead(path), err)
	case strings.HasPrefix(path, "/proc/") && errors.Is(err, syscall.EACCES):
		return nil, sys.ExplainInspect(err)
	}
	return nil, err
}

// instead describes a file that is no namespace. It is empty after a crash of the tool that made it for a pin, or in
// mount namespaces that do not have the mount of the pin.
func instead(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "no namespace"
	case info.IsDir():
		return "no namespace, but a directory"
	case info.Mode().IsRegular() && info.Size() == 0 && !strings.HasPrefix(path, "/proc/"):
		return "no namespace, but an empty file, as for a pin that is not mounted, or not in this mount namespace"
	}
	return "no namespace, but another kind of file"
}

// String returns the path.
func (p NamespacePath) String() string { return "path " + string(p) }
