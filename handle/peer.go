package handle

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// asPeer is for the functions that netns has, too, and whose callers ask os.IsNotExist, os.IsExist and os.IsPermission.
// These look into an *fs.PathError and nowhere else, and find an errno there that is wrapped in nothing. So what else the
// error says becomes part of what it is about. ESRCH is none of theirs: for a process
// that is gone, ask errors.Is(err, fs.ErrNotExist).
func asPeer(err error) error {
	if err == nil || isOwn(err) {
		return err
	}
	var errno syscall.Errno
	var e *Error
	if !errors.As(err, &errno) || !errors.As(err, &e) {
		return err
	}
	if !errno.Is(fs.ErrNotExist) && !errno.Is(fs.ErrExist) && !errno.Is(fs.ErrPermission) {
		return err
	}
	text := strings.TrimSuffix(err.Error(), ": "+errno.Error())
	return &fs.PathError{Op: e.Op, Path: strings.TrimPrefix(text, e.Op+" "), Err: errno}
}

// isOwn says whether the error is one of our own to ask for, which an *fs.PathError with an errno would hide.
func isOwn(err error) bool {
	for _, own := range []error{ErrStale, ErrTainted, ErrUnknownContainer, ErrAmbiguous} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// peers is asPeer for the results of a function that opens.
func peers(ns NsHandle, err error) (NsHandle, error) { return ns, asPeer(err) }
