//go:build linux

package sys

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// memfd makes an anonymous file; flags that the kernel is too old for (before 6.3) are left out.
func memfd(name string, flags, newer int) (*FD, error) {
	fd, err := open(func() (int, error) { return unix.MemfdCreate(name, flags|newer|unix.MFD_CLOEXEC) })
	if err == unix.EINVAL {
		fd, err = open(func() (int, error) { return unix.MemfdCreate(name, flags|unix.MFD_CLOEXEC) })
	}
	return fd, err
}

// Buffer returns an anonymous file that holds data, to be sent where a message would be too long.
func Buffer(data []byte) (*FD, error) {
	fd, err := memfd("nsops-data", 0, unix.MFD_NOEXEC_SEAL)
	if err != nil {
		return nil, err
	}
	if err := copyTo(fd, bytes.NewReader(data)); err != nil {
		_ = fd.Close()
		return nil, err
	}
	return fd, nil
}

// ReadBuffer reads the first size bytes of such a file. io.ErrUnexpectedEOF: it has fewer.
func ReadBuffer(fd *FD, size uint64) ([]byte, error) {
	defer runtime.KeepAlive(fd)
	// The sender may mean harm: to ask a file of a FUSE file system for its size could take for ever. Only files in
	// memory have seals.
	if _, err := unix.FcntlInt(uintptr(fd.Int()), unix.F_GET_SEALS, 0); err != nil {
		return nil, fmt.Errorf("not a file in memory: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd.Int(), &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || uint64(st.Size) < size {
		return nil, io.ErrUnexpectedEOF
	}
	data := make([]byte, size)
	for done := 0; done < len(data); {
		n, err := unix.Pread(fd.Int(), data[done:], int64(done))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return nil, io.ErrUnexpectedEOF
		}
		done += max(n, 0)
	}
	return data, nil
}

// SealedCopy returns an anonymous, executable copy of a file that nobody can write and only root can read: sealed, mode
// 0111. Whoever runs it inside a container gives its root nothing to overwrite (CVE-2019-5736).
func SealedCopy(file *FD) (*FD, error) {
	defer runtime.KeepAlive(file)
	fd, err := memfd("nsops-worker", unix.MFD_ALLOW_SEALING, unix.MFD_EXEC)
	if err != nil {
		return nil, err
	}
	if err := seal(fd, file); err != nil {
		_ = fd.Close()
		return nil, err
	}
	return fd, nil
}

func seal(fd, file *FD) error {
	source, err := open(func() (int, error) {
		return unix.Open(PathOf(file), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	for {
		var n int
		err := Retry(func() (err error) { n, err = unix.Sendfile(fd.Int(), source.Int(), nil, 1<<30); return err })
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := unix.Fchmod(fd.Int(), 0o111); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if err = addSeals(fd, seals|unix.F_SEAL_EXEC); err == unix.EINVAL { // before 6.3
		err = addSeals(fd, seals)
	}
	return err
}

// addSeals waits while the kernel itself looks at pages of the file, which is EBUSY.
func addSeals(fd *FD, seals int) (err error) {
	for range 20 {
		if _, err = unix.FcntlInt(uintptr(fd.Int()), unix.F_ADD_SEALS, seals); err != unix.EBUSY {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func copyTo(fd *FD, data io.Reader) error {
	_, err := io.Copy(writer{fd}, data)
	return err
}

// writer writes to a descriptor without the poller of package os.
type writer struct{ fd *FD }

func (w writer) Write(data []byte) (done int, err error) {
	defer runtime.KeepAlive(w.fd)
	for done < len(data) {
		n, err := unix.Write(w.fd.Int(), data[done:])
		if err != nil && err != unix.EINTR {
			return done, err
		}
		done += max(n, 0)
	}
	return done, nil
}
