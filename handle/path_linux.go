package handle

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
)

// NamespacePath refers to the namespace that is at a path whenever it is asked: a pin, or a link such as
// /proc/PID/ns/net. It holds nothing open. A relative path and /proc/self are those of the calling thread and the main
// thread. Whatever else is at the path is not opened.
type NamespacePath string

// NsFd opens the namespace.
func (p NamespacePath) NsFd() (int, FdCloser, error) {
	fd, err := openPath(string(p))
	return opened(p, fd, err)
}

// openPath opens the namespace at a path, or says what is there instead.
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

// instead describes a file that is no namespace. Tools that crash, and mount namespaces in which a pin does not show,
// leave an empty file where it was to be mounted.
func instead(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "no namespace"
	case info.IsDir():
		return "no namespace, but a directory"
	case info.Mode().IsRegular() && info.Size() == 0 && !strings.HasPrefix(path, "/proc/"):
		return "no namespace, but an empty file, as a pin leaves whose mount is gone or not seen from here"
	}
	return "no namespace, but another kind of file"
}

// String returns the path.
func (p NamespacePath) String() string { return "path " + string(p) }
