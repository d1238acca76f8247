package sys

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
)

// programAttributes is what BPF_PROG_LOAD reads of union bpf_attr in linux/bpf.h.
type programAttributes struct {
	kind, instructions uint32
	code, license      unsafe.Pointer
	_                  [11]uint32
	attachType         uint32
	_                  [9]uint32
	function           uint32
}

// linkAttributes is what BPF_LINK_CREATE reads, and BPF_ITER_CREATE of its first two words.
type linkAttributes struct {
	from, to          uint32
	attachType, flags uint32
	_                 [4]uint64
}

var gpl = []byte("GPL\x00")

// KeepIterator has the kernel check a program, of instructions of 8 bytes, and keeps it for the life of the process. The
// function is the number, among the kernel's types, of the one that stands for the iterator. EPERM: it requires CAP_BPF and
// CAP_PERFMON, or CAP_SYS_ADMIN, in the initial user namespace.
func KeepIterator(code []byte, function uint32) (*FD, error) {
	return keep(func() (*FD, error) { return openIterator(code, function) })
}

func openIterator(code []byte, function uint32) (*FD, error) {
	load := programAttributes{
		kind: unix.BPF_PROG_TYPE_TRACING, instructions: uint32(len(code) / 8), code: unsafe.Pointer(&code[0]),
		license: unsafe.Pointer(&gpl[0]), attachType: unix.BPF_TRACE_ITER, function: function,
	}
	program, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	for tries := 0; tries < 10 && err == unix.EAGAIN; tries++ { // a signal came while it was checked
		program, err = bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = program.Close() }()
	attach := linkAttributes{from: uint32(program.Int()), attachType: unix.BPF_TRACE_ITER}
	return bpf(unix.BPF_LINK_CREATE, unsafe.Pointer(&attach), unsafe.Sizeof(attach))
}

// ReadIterator runs a kept program and returns what it has written, in the room of buf if that suffices. PIDs are looked up in the
// PID namespace of the caller.
func ReadIterator(kept *FD, buf []byte) ([]byte, error) {
	create := linkAttributes{from: uint32(kept.Int())}
	iterator, err := bpf(unix.BPF_ITER_CREATE, unsafe.Pointer(&create), 8)
	if err != nil {
		return nil, err
	}
	defer func() { _ = iterator.Close() }()
	return readAll(iterator.Int(), buf[:0])
}

// KernelTypes returns the kernel's description of its own types, in the BPF Type Format. As it is relied on for good, it is
// read in the process's own mount namespace, and only from sysfs.
func KernelTypes() ([]byte, error) {
	fd, err := keep(func() (*FD, error) { return openFile(raw.CurrentDir, "/sys/kernel/btf/vmlinux", unix.O_NONBLOCK) })
	if err != nil {
		return nil, err
	}
	defer func() { _ = fd.Close() }()
	if err := isOn(fd.Int(), unix.SYSFS_MAGIC, unix.ENOENT); err != nil {
		return nil, err
	}
	st, err := fstat(fd.Int())
	if err != nil {
		return nil, err
	}
	const spare = 16 << 10 // more than what readAll wants at the end
	return readAll(fd.Int(), make([]byte, 0, st.Size+spare))
}

func bpf(command uintptr, attributes unsafe.Pointer, size uintptr) (*FD, error) {
	return open(func() (int, error) {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attributes), size)
		return int(fd), asError(errno)
	})
}

func readAll(fd int, all []byte) ([]byte, error) {
	const least = 8 << 10
	for {
		if cap(all)-len(all) < least {
			all = slices.Grow(all, max(least, cap(all)))
		}
		n, errno := raw.Read(fd, all[len(all):cap(all)])
		if errno != 0 {
			return nil, errno
		}
		if n == 0 {
			return all, nil
		}
		all = all[:len(all)+n]
	}
}

// MayTrace returns EPERM if the calling thread lacks the capabilities for KeepIterator in its own user namespace.
func MayTrace() error {
	if pretended(TaskIterators) {
		return unix.ENOSYS
	}
	if hasCapability(unix.CAP_SYS_ADMIN) || hasCapability(unix.CAP_BPF) && hasCapability(unix.CAP_PERFMON) {
		return nil
	}
	return unix.EPERM
}
