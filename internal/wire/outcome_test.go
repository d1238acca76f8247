package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/wire"
)

// travel returns the failure that the caller gets for an error of the worker.
func travel(t testing.TB, err error) wire.Failure {
	t.Helper()
	text, marshalErr := json.Marshal(wire.NewFailure(err))
	require.NoError(t, marshalErr)
	var f wire.Failure
	require.NoError(t, json.Unmarshal(text, &f))
	return f
}

func TestFailuresKeepWhatTheyWrap(t *testing.T) {
	for _, want := range []error{
		syscall.EPERM, fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrClosed, fs.ErrInvalid, io.EOF, io.ErrUnexpectedEOF,
		os.ErrDeadlineExceeded, os.ErrProcessDone, errors.ErrUnsupported,
	} {
		for _, err := range []error{
			want, fmt.Errorf("a: %w", want), errors.Join(io.ErrNoProgress, want), &fs.PathError{Op: "open", Path: "x", Err: want},
			fmt.Errorf("%w and %w", io.ErrNoProgress, fmt.Errorf("deep: %w", want)),
		} {
			f := travel(t, err)
			require.Equal(t, err.Error(), f.Text)
			require.ErrorIs(t, errors.Join(f.Causes()...), want)
		}
	}
	require.Empty(t, travel(t, errors.New("plain")).Causes())
}

// uncomparable is an error for which == panics.
type uncomparable struct{ list []error }

func (u uncomparable) Error() string   { return "uncomparable" }
func (u uncomparable) Unwrap() []error { return u.list }

func TestFailuresOfStrangeErrors(t *testing.T) {
	require.ErrorIs(t, errors.Join(travel(t, uncomparable{[]error{nil, syscall.EBUSY}}).Causes()...), syscall.EBUSY)
	require.Equal(t, "\ufffd", travel(t, errors.New("\xff")).Text)
}

func TestUnknownSentinelsAreLeftOut(t *testing.T) {
	var f wire.Failure
	require.NoError(t, json.Unmarshal([]byte(`{"text":"x","sentinels":[-1,5,1000],"new field":1}`), &f))
	require.Equal(t, []error{io.EOF}, f.Causes())
}

func FuzzParseFailure(f *testing.F) {
	f.Add([]byte(`{"text":"x","errnos":[1],"sentinels":[5],"cause":"panic","stack":"AAAA"}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"errnos":[-1]}`))
	f.Add([]byte(`{"sentinels":[-1,17]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var failure wire.Failure
		if json.Unmarshal(text, &failure) != nil {
			return
		}
		for _, cause := range failure.Causes() {
			_ = cause.Error()
		}
	})
}

func TestShortFailuresFitBesideTheirRecord(t *testing.T) {
	long := strings.Repeat("\x01", wire.MaxText)
	f := wire.Failure{Text: long, Stack: []byte(long), Cause: wire.CauseNotRegistered}
	for range 100 {
		f.Errnos = append(f.Errnos, 1<<31-1)
		f.Sentinels = append(f.Sentinels, math.MinInt)
	}
	text, err := json.Marshal(f.Short(errors.New(long)))
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), wire.MaxInline)
	short := wire.Failure{Text: "text", Errnos: []syscall.Errno{1}}.Short(errors.New("why"))
	require.Equal(t, "why: text", short.Text)
	require.Equal(t, []syscall.Errno{1}, short.Errnos)
}
