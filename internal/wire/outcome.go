package wire

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
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
	Sentinels []string        `json:"sentinels,omitempty"`
	Cause     string          `json:"cause,omitempty"` // such as CausePanic; "" for an error that the handler returned
	Stack     []byte          `json:"stack,omitempty"`
}

// Limits for a failure, and for a short one.
const (
	MaxText        = 64 << 10     // bytes of text
	MaxFailure     = 16 * MaxText // bytes of JSON
	maxShortText   = 300          // bytes of text, which as JSON take up to six times the space
	maxShortCauses = 16           // of each kind
)

// Causes of a Failure, other than an error that the handler returned.
const (
	CausePanic         = "panic"
	CauseGoexit        = "goexit"
	CauseNotRegistered = "not registered"
)

// sentinels are the errors that errors.Is finds in the caller, by the name that is sent. The map is made when a call
// fails: it must not slow down the start of programs.
var sentinels = sync.OnceValue(func() map[string]error {
	return map[string]error{
		"fs.ErrInvalid":            fs.ErrInvalid,
		"fs.ErrPermission":         fs.ErrPermission,
		"fs.ErrExist":              fs.ErrExist,
		"fs.ErrNotExist":           fs.ErrNotExist,
		"fs.ErrClosed":             fs.ErrClosed,
		"io.EOF":                   io.EOF,
		"io.ErrUnexpectedEOF":      io.ErrUnexpectedEOF,
		"io.ErrClosedPipe":         io.ErrClosedPipe,
		"io.ErrShortBuffer":        io.ErrShortBuffer,
		"io.ErrShortWrite":         io.ErrShortWrite,
		"io.ErrNoProgress":         io.ErrNoProgress,
		"os.ErrNoDeadline":         os.ErrNoDeadline,
		"os.ErrDeadlineExceeded":   os.ErrDeadlineExceeded,
		"os.ErrProcessDone":        os.ErrProcessDone,
		"context.Canceled":         context.Canceled,
		"context.DeadlineExceeded": context.DeadlineExceeded,
		"errors.ErrUnsupported":    errors.ErrUnsupported,
	}
})

// NewFailure describes an error by its text and the errnos and sentinels that it wraps.
func NewFailure(err error) Failure {
	text := err.Error()
	f := Failure{Text: text[:min(len(text), MaxText)]}
	f.collect(err)
	return f
}

// collect adds the errnos and sentinels among an error and all errors that it wraps.
func (f *Failure) collect(err error) {
	if errno, ok := err.(syscall.Errno); ok {
		f.Errnos = append(f.Errnos, errno)
	}
	for name, sentinel := range sentinels() {
		if err == sentinel {
			f.Sentinels = append(f.Sentinels, name)
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
		Cause:     f.Cause,
	}
}

// Causes returns the errnos and sentinels as errors. It leaves out unknown names.
func (f Failure) Causes() []error {
	var causes []error
	for _, errno := range f.Errnos {
		causes = append(causes, errno)
	}
	for _, name := range f.Sentinels {
		if err, ok := sentinels()[name]; ok {
			causes = append(causes, err)
		}
	}
	return causes
}

// ParseFailure parses the JSON text of a Failure.
func ParseFailure(text []byte) (f Failure, err error) {
	err = json.Unmarshal(text, &f)
	return f, err
}
