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

// Outcomes of a handler: the Stage of a KindResult record. What follows it is the JSON text of the result, or of a
// Failure.
const (
	OutcomeResult = iota
	OutcomeFailure
)

// Failure is what came of a handler that returned no result.
type Failure struct {
	Text      string          `json:"text"`
	Errnos    []syscall.Errno `json:"errnos,omitempty"`
	Sentinels []string        `json:"sentinels,omitempty"`
	Cause     string          `json:"cause,omitempty"` // CausePanic and so on, "" for an error that was returned
	Stack     []byte          `json:"stack,omitempty"`
}

// MaxFailure is the size of the longest failure; MaxText is that of each of its texts before they are encoded.
const (
	MaxText    = 64 << 10
	MaxFailure = 16 * MaxText
)

// Causes of a Failure that is not an error that the handler returned.
const (
	CausePanic         = "panic"
	CauseGoexit        = "goexit"
	CauseNotRegistered = "not registered"
)

// sentinels are the errors that survive the way from the worker, by the name under which they travel.
// Only a call that fails needs them, so no program pays for the map at its start.
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

// NewFailure describes an error: its text, and what errors.Is is asked for most.
func NewFailure(err error) Failure {
	text := err.Error()
	f := Failure{Text: text[:min(len(text), MaxText)]}
	walk(err, func(err error) {
		if errno, ok := err.(syscall.Errno); ok {
			f.Errnos = append(f.Errnos, errno)
		}
		for name, sentinel := range sentinels() {
			if err == sentinel {
				f.Sentinels = append(f.Sentinels, name)
			}
		}
	})
	return f
}

// maxShort is how many bytes of text, and how many causes of each kind, a short failure has. As JSON a byte takes six.
const (
	maxShortText   = 300
	maxShortCauses = 16
)

// Short returns a failure that fits into MaxInline: with the beginning of its text, behind the reason for that, and
// without its stack.
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

// walk visits an error and all that it wraps.
func walk(err error, visit func(error)) {
	if err == nil {
		return
	}
	visit(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			walk(err, visit)
		}
	}
}

// Causes returns the errnos and sentinels as errors again; a name it does not know is left out.
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
