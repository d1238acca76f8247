package call

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nsops/nsops/internal/sys"
)

// streams are the worker's standard descriptors and the copying that goes with them.
type streams struct {
	files  [3]*os.File // what the worker gets
	owned  []*os.File  // of these, what is closed when it has been started, or was not
	ours   []stream    // our ends of its pipes and sockets
	copies []chan error
}

// stream is our end: one that is read from can be told to stop that.
type stream interface {
	io.Closer
	SetReadDeadline(time.Time) error
}

func (c *Call) streams() (*streams, error) {
	s := &streams{}
	err := s.input(c.stdin)
	if err == nil {
		err = s.output(1, c.stdout, os.Stdout)
	}
	if err == nil && c.stderr != nil && sameWriter(c.stdout, c.stderr) {
		s.files[2] = s.files[1]
	} else if err == nil {
		err = s.output(2, c.stderr, os.Stderr)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// sameWriter compares writers; those of a type that cannot be compared are different.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() { _ = recover() }()
	return a == b
}

func (s *streams) input(r io.Reader) error {
	if file, ok := r.(*os.File); ok {
		if !isOpen(file) {
			r = nil
		} else if !sys.IsTerminal(file) {
			s.files[0] = file
			return nil
		}
	}
	if r == nil {
		return s.null(0)
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	s.files[0], s.ours = theirs, append(s.ours, ours)
	s.own(theirs)
	go func() {
		_, _ = io.Copy(ours, r)
		_ = ours.Close()
	}()
	return nil
}

// output passes a file on as it is, except a terminal: a worker in a hostile place must not hold one (TIOCSTI).
func (s *streams) output(fd int, w io.Writer, inherited *os.File) error {
	if w == nil {
		w = inherited
	}
	if file, ok := w.(*os.File); ok {
		if !isOpen(file) {
			return s.null(fd)
		}
		if !sys.IsTerminal(file) {
			s.files[fd] = file
			return nil
		}
	}
	ours, theirs, err := sys.OpenOutput()
	if err != nil {
		return err
	}
	s.files[fd], s.ours = theirs, append(s.ours, ours)
	s.own(theirs)
	done := make(chan error, 1)
	s.copies = append(s.copies, done)
	go func() { done <- copyOutput(w, ours) }()
	return nil
}

// isOpen says whether the worker can have the file. With a standard descriptor closed, its Go runtime would open
// /dev/null in its place, and that is the target's.
func isOpen(f *os.File) bool { return f != nil && int(f.Fd()) >= 0 }

func (s *streams) null(fd int) (err error) {
	s.files[fd], err = sys.DevNull()
	s.own(s.files[fd])
	return err
}

// copyOutput copies until the output ends or finish stops it, and then what is left of it. A writer that fails gets no
// more, but the worker must not hang because nobody reads.
func copyOutput(w io.Writer, output *sys.Output) error {
	sink := &sink{w: w}
	_, err := io.Copy(sink, struct{ io.Reader }{output}) // not with the methods of its file
	if errors.Is(err, sys.ErrDescriptors) {
		return err
	}
	drain(sink, output)
	return sink.err
}

// sink writes until that fails, and takes everything after that.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(data []byte) (int, error) {
	if s.err == nil {
		n, err := s.w.Write(data)
		if err == nil && n < len(data) {
			err = io.ErrShortWrite
		}
		s.err = err
	}
	return len(data), nil
}

// drain copies what is there now. Others may hold the other end, and even go on writing: that is not waited for.
func drain(w io.Writer, output *sys.Output) {
	rest := sys.Buffered(output.File)
	if rest == 0 || output.SetReadDeadline(time.Now().Add(exitTimeout)) != nil {
		return
	}
	_, _ = io.CopyN(w, output, int64(rest))
}

func (s *streams) own(f *os.File) {
	if f != nil {
		s.owned = append(s.owned, f)
	}
}

// worker returns the descriptors that become the worker's 0, 1 and 2.
func (s *streams) worker() []int {
	var fds []int
	for _, f := range s.files {
		fds = append(fds, int(f.Fd()))
	}
	return fds
}

// started closes what only the worker needs.
func (s *streams) started() {
	for _, f := range s.owned {
		_ = f.Close()
	}
	s.owned = nil
}

// finish copies what the worker has left in its pipes, and returns the first error of a writer. Others that still hold
// the pipes do not make it wait, nor does a writer for longer than patience.
func (s *streams) finish(patience time.Duration) error {
	for _, f := range s.ours {
		_ = f.SetReadDeadline(time.Now()) // an error for its input
	}
	late := time.After(patience)
	var first error
	for _, done := range s.copies {
		select {
		case err := <-done:
			first = cmp.Or(first, err)
		case <-late:
			return fmt.Errorf("the writer did not take it within %v: %w", patience, os.ErrDeadlineExceeded)
		}
	}
	s.copies = nil
	return first
}

// close lets go of what is still ours. A writer that hangs keeps its goroutine.
func (s *streams) close() {
	s.started()
	for _, f := range s.ours {
		_ = f.Close()
	}
}
