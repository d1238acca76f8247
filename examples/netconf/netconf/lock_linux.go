package netconf

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// All locks are bytes of one file that stays: to create and delete a file for each would cost more, and be a race. The
// namespace's own file could be locked with flock(2) too, but by the container as well.

// Kinds of locks.
const (
	shared    = syscall.F_RDLCK
	exclusive = syscall.F_WRLCK
	unlocked  = syscall.F_UNLCK
)

// runPath returns the path of a file for locks and records.
func (p Place) runPath(name string) string {
	return filepath.Join(cmp.Or(p.RunDir, DefaultRunDir), name)
}

// lockTarget lets nobody else configure the target until the session is closed.
func (s *session) lockTarget() error { return s.lock("target "+s.id.String(), exclusive) }

// lockBridge keeps the bridge of that name from being deleted, or, exclusively, from being used by anybody else.
// Unlocked gives that up, as the end of the session does.
func (s *session) lockBridge(name string, kind int16) error {
	return s.lock("bridge "+name+" of "+s.hostID.String(), kind)
}

// lock waits for a lock until the context ends.
func (s *session) lock(name string, kind int16) error {
	if err := s.openLocks(); err != nil {
		return err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := tryLock(s.locks, name, kind)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-s.ctx.Done():
			return fmt.Errorf("lock %s: somebody else has it: %w", name, context.Cause(s.ctx))
		case <-time.After(wait):
		}
	}
}

// openLocks opens the file for the session, in a folder that it makes if there is none: locks belong to the open file,
// not to the process.
func (s *session) openLocks() error {
	if s.locks >= 0 {
		return nil
	}
	path := s.runPath("lock")
	open := func() (err error) {
		s.locks, err = syscall.Open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
		return err
	}
	err := open()
	if err == syscall.ENOENT { //nolint:errorlint // it comes from the system call
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		err = open()
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return nil
}

// closeLocks gives all locks up. Closing the file is not enough: a child that is being forked may have it open too.
func (s *session) closeLocks() {
	if s.locks >= 0 {
		_ = syscall.FcntlFlock(uintptr(s.locks), ofdSetLock, &syscall.Flock_t{Type: unlocked})
		_ = syscall.Close(s.locks)
	}
}

const ofdSetLock = 37 // F_OFD_SETLK

// tryLock locks the byte that is the name's. It is EAGAIN if somebody else has it.
func tryLock(file int, name string, kind int16) error {
	sum := sha256.Sum256([]byte(name))
	start := int64(binary.NativeEndian.Uint64(sum[:]) >> 2)
	return syscall.FcntlFlock(uintptr(file), ofdSetLock, &syscall.Flock_t{Type: kind, Whence: io.SeekStart, Start: start, Len: 1})
}
