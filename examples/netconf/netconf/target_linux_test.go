package netconf

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
)

// TestTargetRefused has every kind of wrong target for each of the four operations, which find out before they act.
func TestTargetRefused(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	host := newNetns(t)
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		target Target
		want   error
	}{
		{Target{}, nil},
		{Target{PID: 1, Path: file}, nil},
		{Target{Path: file, Name: "x"}, nil},
		{Target{PID: -1}, syscall.EINVAL},
		{Target{PID: 1 << 22}, syscall.ESRCH},
		{Target{PID: os.Getpid()}, ErrOwnNamespace},
		{Target{Path: "/proc/self/ns/net"}, ErrOwnNamespace},
		{pathOf(host), ErrOwnNamespace},
		{Target{Path: "/proc/self/ns/mnt"}, syscall.EINVAL},
		{Target{Path: "/proc/" + strconv.Itoa(1<<22) + "/ns/net"}, fs.ErrNotExist},
		{Target{Path: dir + "/none"}, fs.ErrNotExist},
		{Target{Path: dir}, syscall.EINVAL},
		{Target{Path: file}, syscall.EINVAL},
		{Target{Path: fifo}, syscall.EINVAL},
		{Target{Path: "/dev/null"}, syscall.EINVAL},
		{Target{Name: "../x"}, syscall.EINVAL},
		{Target{Name: "no-such-name-" + strconv.Itoa(os.Getpid())}, fs.ErrNotExist},
	} {
		p := Place{host, c.target, t.TempDir()}
		for name, err := range operations(t, p) {
			require.IsType(t, &Error{}, err, "%s %+v", name, c.target)
			if c.want != nil {
				require.ErrorIs(t, err, c.want, "%s %+v", name, c.target)
			}
		}
		requireEmpty(t, p.RunDir)
	}
}

func operations(t *testing.T, p Place) map[string]error {
	_, applied := Apply(t.Context(), p, simple())
	_, planned := MakePlan(t.Context(), p, simple())
	_, shown := Show(t.Context(), p)
	_, deleted := Delete(t.Context(), p)
	return map[string]error{"apply": applied, "plan": planned, "show": shown, "delete": deleted}
}

func TestHostRefused(t *testing.T) {
	testutil.NeedRoot(t)
	target := pathOf(newNetns(t))
	file, err := os.Open("/dev/null")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	for _, host := range []handle.NsHandle{handle.None(), handle.NsHandle(file.Fd())} {
		for name, err := range operations(t, Place{host, target, t.TempDir()}) {
			require.Error(t, err, name)
		}
	}
}

// TestStaleTarget: a target that ends takes the pair with it, and its successor is another.
func TestStaleTarget(t *testing.T) {
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	target.Stop()
	_, err = apply(t, p, withFiles())
	require.ErrorIs(t, err, syscall.ESRCH)
}

// TestInTarget: a worker that is not where the target was looked up refuses to work.
func TestInTarget(t *testing.T) {
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	s, err := p.open(t.Context())
	require.NoError(t, err)
	defer s.close()
	require.NoError(t, s.target.Close())
	s.target = newNetns(t) // as if the process had gone there since
	_, err = s.sysctls(sysctlCall{Values: map[string]string{"net/ipv4/ip_forward": "1"}})
	require.ErrorContains(t, err, "stale")
	_, err = s.resolv(entry{Kind: kindFile}, false, false)
	require.ErrorContains(t, err, "stale")
	s.target = handle.None()
}
