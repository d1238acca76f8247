package handle

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// rootFile is an open file of a Root. It has no other method of *os.File, since those of a directory look up its entries
// by a path that means something else, or nothing, outside.
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

var _ fs.ReadDirFile = (*rootFile)(nil)

// ReadDir returns the next n entries, or with n <= 0 all that are left.
func (f *rootFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if f.rest == nil {
		entries, err := f.root.entries(f.file, f.name)
		if err != nil {
			return nil, err
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

// entries describes what is in an open directory, leaving out what vanishes meanwhile.
func (r *Root) entries(dir *os.File, name string) ([]fs.DirEntry, error) {
	names, err := dir.Readdirnames(-1)
	entries := make([]fs.DirEntry, 0, len(names))
	for _, entry := range names {
		info, statErr := r.Lstat(path.Join(name, entry))
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
