package sys

import (
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
)

// ProcReader reads files and directories of /proc into buffers of its own: a result is valid until the next call of the
// same method. It is for one goroutine.
type ProcReader struct {
	file    []byte
	entries []byte
	link    [4096]byte
	number  raw.Path
}

// maxShort is what Short reads at most, whatever room Whole has needed before.
const maxShort = 32 << 10

// NewProcReader returns a ProcReader.
func NewProcReader() *ProcReader {
	return &ProcReader{file: make([]byte, maxShort), entries: make([]byte, 32<<10)}
}

// Number returns the path of a number, for the next call.
func (r *ProcReader) Number(n int) *raw.Path { return r.number.Number(n) }

// maxFile is what of a file is read at most: more than mountinfo of a hundred thousand mounts has.
const maxFile = 256 << 20

// Short reads a file that fits into a page or so, with one read; of a longer one, 32 KiB. The error is that of the kernel.
func (r *ProcReader) Short(dir int, path *raw.Path) ([]byte, syscall.Errno) {
	fd, errno := raw.Open(dir, path, raw.ForReading)
	if errno != 0 {
		return nil, errno
	}
	n, errno := raw.Read(fd, r.file[:maxShort])
	raw.CloseNoWait(fd)
	return r.file[:n], errno
}

// Whole reads a file to its end.
func (r *ProcReader) Whole(dir int, path *raw.Path) ([]byte, syscall.Errno) {
	fd, errno := raw.Open(dir, path, raw.ForReading)
	if errno != 0 {
		return nil, errno
	}
	defer raw.CloseNoWait(fd)
	used := 0
	for {
		if used == len(r.file) {
			if used >= maxFile {
				return nil, syscall.EFBIG
			}
			r.file = append(r.file, make([]byte, len(r.file))...)
		}
		n, errno := raw.Read(fd, r.file[used:])
		if errno != 0 || n == 0 {
			return r.file[:used], errno
		}
		used += n
	}
}

// Link reads where a link leads.
func (r *ProcReader) Link(dir int, path *raw.Path) ([]byte, syscall.Errno) {
	n, errno := raw.Readlink(dir, path, r.link[:])
	return r.link[:max(n, 0)], errno
}

// List reads some entries of the open directory, for AppendNumbers. Only an empty answer is the end.
func (r *ProcReader) List(dir int) ([]byte, syscall.Errno) {
	n, errno := raw.List(dir, r.entries)
	return r.entries[:n], errno
}

// AppendNumbers appends those names of entries that are numbers.
func AppendNumbers(numbers []int, entries []byte) []int {
	for {
		name, rest, ok := raw.Entry(entries)
		if !ok {
			return numbers
		}
		if n, ok := procfs.PID(name); ok {
			numbers = append(numbers, n)
		}
		entries = rest
	}
}

// Numbers returns those names of entries of the open directory that are numbers.
func (r *ProcReader) Numbers(dir int) (numbers []int, errno syscall.Errno) {
	for {
		entries, errno := r.List(dir)
		if errno != 0 || len(entries) == 0 {
			return numbers, errno
		}
		numbers = AppendNumbers(numbers, entries)
	}
}
