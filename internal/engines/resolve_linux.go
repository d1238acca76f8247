package engines

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
)

// resolve returns an absolute path without symbolic links, "" unless the file is root's or the caller's, and nobody
// else may write or replace it. It enters no directory before that is checked, and no file system that a program
// serves, which may block it.
func (e *Engines) resolve(path string) string {
	const mostLinks = 40
	at, links := "/", 0
	for rest := strings.Split(path, "/"); len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		if rest = rest[1:]; next == at {
			continue
		}
		if !filepath.IsAbs(path) || e.isServed(next) || !mayHold(at) {
			return ""
		}
		info, err := os.Lstat(next)
		if err != nil || !owns(info) {
			return ""
		}
		if at = next; info.Mode()&os.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > mostLinks {
			return ""
		}
		if at = filepath.Dir(next); filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	if info, err := os.Lstat(at); err != nil || othersMayWrite(info) {
		return ""
	}
	return at
}

// isServed reports whether a FUSE is mounted there.
func (e *Engines) isServed(point string) bool {
	for m, rest, ok := procfs.NextMount(e.mountinfo); ok; m, rest, ok = procfs.NextMount(rest) {
		if bytes.HasPrefix(m.Type, []byte("fuse")) && string(procfs.Unescape(nil, m.Point)) == point {
			return true
		}
	}
	return false
}

// mayHold reports whether nobody else can replace what root or the caller has in a directory.
func mayHold(directory string) bool {
	info, err := os.Lstat(directory)
	return err == nil && owns(info) && (!othersMayWrite(info) || info.Mode()&os.ModeSticky != 0)
}

// owns reports whether a file is root's or the caller's.
func owns(info os.FileInfo) bool { return trusts(int(stat(info).Uid)) }

func stat(info os.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

func othersMayWrite(info os.FileInfo) bool {
	others := os.FileMode(0o002)
	if stat(info).Gid != 0 {
		others |= 0o020
	}
	return info.Mode().Perm()&others != 0
}

// Owner returns the user that owns a file, -1 if there is no such file.
func Owner(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return int(stat(info).Uid)
}
