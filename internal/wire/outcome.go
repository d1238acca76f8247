package wire

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Outcomes of a handler: the Stage of a KindResult record, which the JSON text of the result or of a Failure follows.
const (
	OutcomeResult = iota
	OutcomeFailure
)

// Failure says why a handler returned no result.
type Failure struct {
	Text      string          `json:"text"`
	Errnos    []syscall.Errno `json:"errnos,omitempty"`
	Sentinels []int           `json:"sentinels,omitempty"` // their numbers
	Named     []string        `json:"named,omitempty"`     // the names of sentinels that are registered
	Timeout   bool            `json:"timeout,omitempty"`   // as net.Error has it
	Cause     string          `json:"cause,omitempty"`     // such as CausePanic; "" for an error that the handler returned
	Stack     []byte          `json:"stack,omitempty"`
}

// Limits for a failure, and for a short one.
const (
	MaxText        = 64 << 10     // bytes of text
	MaxFailure     = 16 * MaxText // bytes of JSON
	maxShortText   = 300          // bytes of text, which as JSON take up to six times the space
	maxShortCauses = 16           // of each kind
	maxShortNames  = 4            // each of at most MaxName bytes

	MaxName = 64
)

// Causes of a Failure, other than an error that the handler returned.
const (
	CausePanic         = "panic"
	CauseGoexit        = "goexit"
	CauseNotRegistered = "not registered"
	CauseSettings      = "settings" // of the worker, before its function runs
)

// sentinels returns the errors that errors.Is finds in the caller. Their numbers are sent: worker and caller are the same
// program. The list is made when a call fails: it must not slow down the start of programs.
func sentinels() []error {
	return []error{
		fs.ErrInvalid, fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, fs.ErrClosed,
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrShortBuffer, io.ErrShortWrite, io.ErrNoProgress,
		os.ErrNoDeadline, os.ErrDeadlineExceeded, os.ErrProcessDone,
		context.Canceled, context.DeadlineExceeded, errors.ErrUnsupported,
	}
}

// NewFailure describes an error by its text and the errnos and sentinels that it wraps.
func NewFailure(err error) Failure {
	text := err.Error()
	f := Failure{Text: text[:min(len(text), MaxText)]}
	f.collect(err)
	var e interface{ Timeout() bool }
	f.Timeout = errors.As(err, &e) && e.Timeout()
	return f
}

// collect adds the errnos and sentinels among an error and all errors that it wraps.
func (f *Failure) collect(err error) {
	if errno, ok := err.(syscall.Errno); ok {
		f.Errnos = append(f.Errnos, errno)
	}
	for number, sentinel := range sentinels() {
		if err == sentinel {
			f.Sentinels = append(f.Sentinels, number)
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		f.collect(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			f.collect(err)
		}
	}
}

// Short returns a failure that fits into MaxInline: why it is shortened, then the beginning of its text; no stack.
func (f Failure) Short(why error) Failure {
	reason := why.Error()
	text := f.Text[:min(len(f.Text), maxShortText)]
	return Failure{
		Text:      reason[:min(len(reason), maxShortText/2)] + ": " + text,
		Errnos:    f.Errnos[:min(len(f.Errnos), maxShortCauses)],
		Sentinels: f.Sentinels[:min(len(f.Sentinels), maxShortCauses)],
		Named:     f.Named[:min(len(f.Named), maxShortNames)],
		Timeout:   f.Timeout,
		Cause:     f.Cause,
	}
}

// Causes returns the errnos and sentinels as errors. It leaves out unknown numbers.
func (f Failure) Causes() []error {
	var causes []error
	for _, errno := range f.Errnos {
		causes = append(causes, errno)
	}
	known := sentinels()
	for _, number := range f.Sentinels {
		if number >= 0 && number < len(known) {
			causes = append(causes, known[number])
		}
	}
	return causes
}
