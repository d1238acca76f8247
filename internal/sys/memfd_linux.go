package sys

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// memfd makes an anonymous file; flags that the kernel is too old for (before 6.3) are left out.
func memfd(name string, flags, newer int) (*FD, error) {
	if pretended(MemoryFiles) {
		return nil, unix.EACCES
	}
	fd, err := open(func() (int, error) { return unix.MemfdCreate(name, flags|newer|unix.MFD_CLOEXEC) })
	if err == unix.EINVAL {
		fd, err = open(func() (int, error) { return unix.MemfdCreate(name, flags|unix.MFD_CLOEXEC) })
	}
	return fd, err
}

// Buffer returns a nameless, empty file for what is too long for a message: in memory, or where memfd_create(2) is
// forbidden, in a directory for temporary files.
func Buffer() (*FD, error) {
	fd, err := memfd("nsops-data", 0, unix.MFD_NOEXEC_SEAL)
	if err == nil {
		return fd, nil
	}
	fd, second := unlinked(unlinkedIn)
	if second != nil {
		return nil, fmt.Errorf("memfd_create: %w; %w", err, second)
	}
	return fd, nil
}

// Fill writes data to a file.
func Fill(fd *FD, data []byte) error {
	defer runtime.KeepAlive(fd)
	for len(data) > 0 {
		n, err := unix.Write(fd.Int(), data)
		if err != nil && err != unix.EINTR {
			return explainSize(err)
		}
		data = data[max(n, 0):]
	}
	return nil
}

func explainSize(err error) error {
	if err == unix.EFBIG {
		return fmt.Errorf("the limit of file sizes (ulimit -f): %w", err)
	}
	return err
}

// ReadBuffer reads the first size bytes of a file that this process has made. io.ErrUnexpectedEOF: it has fewer.
func ReadBuffer(fd *FD, size uint64) ([]byte, error) {
	defer runtime.KeepAlive(fd)
	st, err := fstat(fd.Int())
	switch {
	case err != nil:
		return nil, err
	case uint64(st.Size) < size:
		return nil, io.ErrUnexpectedEOF
	}
	data := make([]byte, size)
	for done := 0; done < len(data); {
		n, err := unix.Pread(fd.Int(), data[done:], int64(done))
		if n <= 0 && err != unix.EINTR {
			return nil, cmp.Or(err, io.ErrUnexpectedEOF)
		}
		done += max(n, 0)
	}
	return data, nil
}

// unlinked returns a file without a name that only this process has, of the first directory for temporary files where
// it can be made. TMPDIR does not count: in a set-user-ID program it is that of a user with fewer rights.
func unlinked(create func(dir string) (*FD, error)) (*FD, error) {
	var all []error
	for _, dir := range []string{"/dev/shm", "/tmp", "/var/tmp"} {
		fd, err := create(dir)
		if err == nil {
			return fd, nil
		}
		all = append(all, err)
	}
	return nil, errors.Join(all...)
}

func unlinkedIn(dir string) (*FD, error) {
	file, err := os.CreateTemp(dir, "nsops-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if err := os.Remove(file.Name()); err != nil {
		return nil, err
	}
	return DupFD(int(file.Fd()))
}
