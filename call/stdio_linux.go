package call

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/nsops/nsops/internal/sys"
)

// streams are the worker's standard descriptors and the copying that goes with them.
type streams struct {
	files   [3]*os.File // what the worker gets
	owned   []*os.File  // of these, what is closed when it has been started, or was not
	ours    []*os.File  // our ends of its pipes
	copying []chan struct{}
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

func (s *streams) input(r io.Reader) (err error) {
	if file, ok := r.(*os.File); ok && file != nil {
		s.files[0] = file
		return nil
	}
	if r == nil {
		s.files[0], err = sys.DevNull()
		s.own(s.files[0])
		return err
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	s.files[0] = theirs
	s.own(theirs)
	s.ours = append(s.ours, ours)
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
	if file, ok := w.(*os.File); ok && !sys.IsTerminal(file) {
		s.files[fd] = file
		return nil
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	s.files[fd] = theirs
	s.own(theirs)
	s.ours = append(s.ours, ours)
	done := make(chan struct{})
	s.copying = append(s.copying, done)
	go func() {
		defer close(done)
		if _, err := io.Copy(w, ours); !errors.Is(err, os.ErrDeadlineExceeded) {
			w = io.Discard // it takes no more, but the worker must not hang in a full pipe
			_, _ = io.Copy(w, ours)
		}
		drain(w, ours)
	}()
	return nil
}

// drain copies what is in the pipe now. Others may hold it, and even go on writing: that is not waited for.
func drain(w io.Writer, pipe *os.File) {
	rest := sys.Buffered(pipe)
	if rest == 0 || pipe.SetReadDeadline(time.Now().Add(exitTimeout)) != nil {
		return
	}
	_, _ = io.CopyN(w, pipe, int64(rest))
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

// finish copies what the worker has left in its pipes. Others that still hold them do not make it wait.
func (s *streams) finish() {
	for _, f := range s.ours {
		_ = f.SetReadDeadline(time.Now()) // an error for its input, which is closed then
	}
	for _, done := range s.copying {
		<-done
	}
}

func (s *streams) close() {
	s.started()
	s.finish()
	for _, f := range s.ours {
		_ = f.Close()
	}
}
