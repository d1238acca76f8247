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

// streams are the worker's standard descriptors, and the goroutines that copy them.
type streams struct {
	files   [3]*os.File   // the worker's
	opened  []*os.File    // those of them that were opened for it: closed when it has been started, or has failed to
	stdin   *os.File      // our end of the pipe for its input, if there is one
	outputs []*sys.Output // our ends of its sockets
	copies  []chan error
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

// sameWriter reports whether the writers are equal. Those of a type without == are not.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() { _ = recover() }()
	return a == b
}

func (s *streams) input(r io.Reader) error {
	if done, err := s.pass(0, r); done {
		return err
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	s.open(0, theirs)
	s.stdin = ours
	go func() {
		_, _ = io.Copy(ours, r)
		_ = ours.Close()
	}()
	return nil
}

func (s *streams) output(fd int, w io.Writer, inherited *os.File) error {
	if w == nil {
		w = inherited
	}
	if done, err := s.pass(fd, w); done {
		return err
	}
	ours, theirs, err := sys.OpenOutput()
	if err != nil {
		return err
	}
	s.open(fd, theirs)
	s.outputs = append(s.outputs, ours)
	done := make(chan error, 1)
	s.copies = append(s.copies, done)
	go func() { done <- copyOutput(w, ours) }()
	return nil
}

// pass passes a file on as it is, unless it is a terminal: a hostile worker could write into its input (TIOCSTI). In
// place of a closed one, or of nil, the worker gets our /dev/null: its Go runtime would open the target's. It reports
// whether it has done either.
func (s *streams) pass(fd int, readerOrWriter any) (done bool, err error) {
	file, isFile := readerOrWriter.(*os.File)
	switch {
	case readerOrWriter == nil || isFile && (file == nil || int(file.Fd()) < 0):
		if file, err = sys.DevNull(); err == nil {
			s.open(fd, file)
		}
	case isFile && !sys.IsTerminal(file):
		s.files[fd] = file
	default:
		return false, nil
	}
	return true, err
}

// open makes a file that was opened for the worker one of its descriptors.
func (s *streams) open(fd int, theirs *os.File) {
	s.files[fd] = theirs
	s.opened = append(s.opened, theirs)
}

// copyOutput copies until the output ends or finish stops it, then what is buffered. It does not wait for other processes,
// which may hold the other end and write. It reads on when the writer has failed: the worker must not block.
func copyOutput(w io.Writer, output *sys.Output) error {
	sink := &sink{w: w}
	_, err := io.Copy(sink, struct{ io.Reader }{output}) // without the methods of the file, such as WriteTo
	if errors.Is(err, sys.ErrDescriptors) {
		return err
	}
	rest := sys.Buffered(output.File)
	if rest > 0 && output.SetReadDeadline(time.Now().Add(exitTimeout)) == nil {
		_, _ = io.CopyN(sink, output, int64(rest))
	}
	return sink.err
}

// sink writes to w until that fails, and discards the rest.
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

// closeWorkerFiles closes the files that were opened for the worker.
func (s *streams) closeWorkerFiles() {
	for _, f := range s.opened {
		_ = f.Close()
	}
}

// finish copies what the worker has left in its sockets, and returns the first error of a writer. It does not wait for
// other processes that still hold the sockets, and for a writer no longer than patience.
func (s *streams) finish(patience time.Duration) error {
	for _, f := range s.outputs {
		_ = f.SetReadDeadline(time.Now())
	}
	late := time.After(patience)
	var first error
	for _, done := range s.copies {
		select {
		case err := <-done:
			first = cmp.Or(first, err)
		case <-late:
			return fmt.Errorf("the writer did not return within %v: %w", patience, os.ErrDeadlineExceeded)
		}
	}
	return first
}

// close closes what is still open. A writer that hangs keeps its goroutine.
func (s *streams) close() {
	s.closeWorkerFiles()
	_ = s.stdin.Close()
	for _, f := range s.outputs {
		_ = f.Close()
	}
}
