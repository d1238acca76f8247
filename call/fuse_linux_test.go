package call_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/testutil"
)

func init() {
	// "fuse server" mounts a FUSE file system on /mnt, in a new mount namespace. For its one file, /mnt/f, it never answers
	// the requests to close it, nor most writes.
	roles["fuse server"] = func([]string) {
		fuse, err := unix.Open("/dev/fuse", unix.O_RDWR, 0)
		check(err)
		check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse)
		check(unix.Mount("fuse", "/mnt", "fuse", 0, options))
		fmt.Println("mounted")
		for buf := make([]byte, 1<<17); ; {
			n, err := unix.Read(fuse, buf)
			if err == unix.EINTR || err == unix.ENOENT {
				continue
			}
			check(err)
			if answer, ok := fuseAnswer(buf[:n]); ok {
				_, _ = unix.Write(fuse, answer)
			}
		}
	}
}

// Requests of FUSE: linux/fuse.h.
const (
	fuseLookup  = 1
	fuseForget  = 2
	fuseGetattr = 3
	fuseOpen    = 14
	fuseRead    = 15
	fuseWrite   = 16
	fuseRelease = 18
	fuseFlush   = 25
	fuseInit    = 26
)

const fuseSize = 4096

// fuseAnswer returns the answer to a request; false: it gets none.
func fuseAnswer(request []byte) (answer []byte, ok bool) {
	order := binary.NativeEndian
	errno := int32(0)
	var body []byte
	switch order.Uint32(request[4:]) {
	case fuseInit:
		body = make([]byte, 64)
		order.PutUint32(body, 7)
		order.PutUint32(body[4:], 31)
		order.PutUint32(body[20:], 1<<16) // max_write
	case fuseLookup:
		body = append(make([]byte, 40), fuseAttributes(2)...)
		order.PutUint64(body, 2) // its node
	case fuseGetattr:
		body = append(make([]byte, 16), fuseAttributes(order.Uint64(request[16:]))...)
	case fuseOpen:
		body = make([]byte, 16)
	case fuseRead:
		body = bytes.Repeat([]byte("page"), int(min(order.Uint32(request[56:]), fuseSize))/4)
	case fuseWrite: // to the first byte: an error, so the page is not up to date; to others: no answer, so it stays locked
		if order.Uint64(request[48:]) > 0 {
			return nil, false
		}
		errno = -int32(unix.EIO)
	case fuseForget, fuseRelease, fuseFlush:
		return nil, false
	default:
		errno = -int32(unix.ENOSYS)
	}
	answer = make([]byte, 16, 16+len(body))
	order.PutUint32(answer, uint32(16+len(body)))
	order.PutUint32(answer[4:], uint32(errno))
	copy(answer[8:], request[8:16])
	return append(answer, body...), true
}

// fuseAttributes returns those of the folder, node 1, or of the file.
func fuseAttributes(node uint64) []byte {
	attr := make([]byte, 88)
	binary.NativeEndian.PutUint64(attr, node)
	binary.NativeEndian.PutUint64(attr[8:], fuseSize)
	mode := uint32(unix.S_IFREG | 0o666)
	if node == 1 {
		mode = unix.S_IFDIR | 0o777
	}
	binary.NativeEndian.PutUint32(attr[60:], mode)
	binary.NativeEndian.PutUint32(attr[64:], 1) // links
	return attr
}

// startFUSE starts a target with that file system. The end of the test kills it, which ends all waiting for its answers.
func startFUSE(t testing.TB) *exec.Cmd {
	t.Helper()
	needBootstrap(t)
	testutil.NeedRoot(t)
	if _, err := os.Stat("/dev/fuse"); err != nil {
		testutil.Skip(t, "needs /dev/fuse")
	}
	cmd := role(t, "fuse server")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	line, err := bufio.NewReader(io.LimitReader(stdout, 100)).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "mounted\n", line)
	return cmd
}
