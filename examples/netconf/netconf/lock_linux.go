package netconf

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock is a byte of a file, held. All locks are in one file that stays: creating and deleting one for each would cost
// more, and be a race. The namespace's own file could be locked with flock(2), but by the container as well.
type lock struct{ file *os.File }

// Kinds of locks.
const (
	shared    = syscall.F_RDLCK
	exclusive = syscall.F_WRLCK
)

// runPath returns the path of a file for locks and records, and makes the folder.
func (p Place) runPath(name string) (string, error) {
	dir := p.RunDir
	if dir == "" {
		dir = DefaultRunDir
	}
	return filepath.Join(dir, name), os.MkdirAll(dir, 0o700)
}

// lockTarget lets nobody else configure the target until release.
func (s *session) lockTarget() (*lock, error) { return s.lock("target "+s.id.String(), exclusive) }

// lockBridge keeps the bridge of that name from being deleted, or, exclusively, from being used by anybody else.
func (s *session) lockBridge(name string, kind int16) (*lock, error) {
	return s.lock("bridge "+name+" of "+s.hostID.String(), kind)
}

// lock waits for a lock until the context ends.
func (s *session) lock(name string, kind int16) (*lock, error) {
	path, err := s.runPath("lock")
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := waitFor(s.ctx, file, name, kind); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return &lock{file}, nil
}

func waitFor(ctx context.Context, file *os.File, name string, kind int16) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := tryLock(file, name, kind)
		if !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("somebody else has it: %w", context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

const ofdSetLock = 37 // F_OFD_SETLK: the lock belongs to the open file, not to the process

// tryLock locks the byte that is the name's. It is EAGAIN if somebody else has it.
func tryLock(file *os.File, name string, kind int16) error {
	sum := sha256.Sum256([]byte(name))
	start := int64(binary.NativeEndian.Uint64(sum[:]) >> 2)
	return syscall.FcntlFlock(file.Fd(), ofdSetLock, &syscall.Flock_t{Type: kind, Whence: io.SeekStart, Start: start, Len: 1})
}

// release gives the lock up. A child that is being forked may have the file open too, so closing it is not enough.
func (l *lock) release() {
	_ = syscall.FcntlFlock(l.file.Fd(), ofdSetLock, &syscall.Flock_t{Type: syscall.F_UNLCK})
	_ = l.file.Close()
}
