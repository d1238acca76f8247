package engines

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// What is read at most of a file, and of a folder.
const (
	maxFile    = 4 << 20
	maxEntries = 10_000
)

// ReadFile returns the text of a regular file, nil if there is none; of a long one 4 MiB. A FIFO in its place does not
// hang it.
func ReadFile(path string) []byte {
	f := open(path, 0)
	if f == nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	text, _ := io.ReadAll(io.LimitReader(f, maxFile))
	return text
}

// open returns nil if it is not of that type.
func open(path string, want os.FileMode) *os.File {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode().Type() != want {
		_ = f.Close()
		return nil
	}
	return f
}

// readJSON reports whether the file was there and made sense.
func readJSON(into any, elements ...string) bool {
	text := ReadFile(filepath.Join(elements...))
	return text != nil && json.Unmarshal(text, into) == nil
}

// list returns the names in a folder.
func list(folder string) []string {
	f := open(folder, os.ModeDir)
	if f == nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	names, _ := f.Readdirnames(maxEntries)
	return names
}

// isName reports whether it is the name of something in a folder: no path out of there.
func isName(s string) bool { return s != "" && s != "." && s != ".." && filepath.Base(s) == s }
