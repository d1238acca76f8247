package raw

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Path is a path as the kernel reads it, which is made once and used often.
type Path struct{ text []byte }

// NewPath returns the Path of a text without zero bytes; of others, the part before the first.
func NewPath(text string) Path { return Path{append([]byte(text), 0)} }

// Number sets the path to a number in decimal, without allocating the second time.
func (p *Path) Number(n int) *Path {
	p.text = append(strconv.AppendInt(p.text[:0], int64(n), 10), 0)
	return p
}

// Below sets the path to one below a directory whose name is a number.
func (p *Path) Below(n int, path *Path) *Path {
	p.text = append(append(strconv.AppendInt(p.text[:0], int64(n), 10), '/'), path.text...)
	return p
}

// Set sets the path to a text without zero bytes.
func (p *Path) Set(text []byte) *Path {
	p.text = append(append(p.text[:0], text...), 0)
	return p
}

func (p *Path) pointer() unsafe.Pointer { return unsafe.Pointer(&p.text[0]) }

// CurrentDir is the directory from which a path is found that is absolute, or relative to the working directory.
const CurrentDir = unix.AT_FDCWD
