package netconf

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

// TestRollback has each step fail, in turn, in a target with a process, and finds everything as it was on both sides.
func TestRollback(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	before := listing(t, p)
	for i := 0; ; i++ {
		left := failAt(t, p, withFiles(), i)
		require.Equal(t, before, listing(t, p), "step %d", i)
		requireEmpty(t, p.RunDir)
		if left == 1 { // the record, after which nothing can fail
			require.Greater(t, i, 14, "so many steps")
			return
		}
	}
}

// TestRollbackBesides keeps what was there before: a bridge with a port, and lo up.
func TestRollbackBesides(t *testing.T) {
	testutil.NeedRoot(t)
	target, other := newNetns(t), newNetns(t)
	p := newPlace(t, pathOf(target))
	in(t, p.Host, func() { // else addresses are tentative for a second
		for _, of := range []string{"all", "default"} {
			require.NoError(t, os.WriteFile("/proc/sys/net/ipv6/conf/"+of+"/accept_dad", []byte("0"), 0))
		}
	})
	_, err := apply(t, Place{p.Host, pathOf(other), p.RunDir}, simple())
	require.NoError(t, err)
	ping(t, p.Host, "10.88.0.2") // bridge and port are operational
	settled := func() bool { return !strings.Contains(ip(t, p.Host, "address"), "tentative") }
	for end := time.Now().Add(10 * time.Second); !settled() && time.Now().Before(end); { // accept_dad or not, it takes a moment
		time.Sleep(time.Millisecond)
	}
	ip(t, target, "link", "set", "lo", "up")
	before := listing(t, p)
	c := simple()
	c.Addresses = []Address{{"10.88.0.3/24", "10.88.0.1"}}
	for i := 0; ; i++ {
		left := failAt(t, p, c, i)
		require.Equal(t, before, listing(t, p), "step %d", i)
		if left == 0 {
			return
		}
	}
}

// failAt applies with a step that fails put before step i, and returns how many steps there are from there on.
func failAt(t *testing.T, p Place, c Config, i int) (left int) {
	t.Helper()
	injected := errors.New("injected")
	err := applyChanged(t.Context(), t, p, c, func(_ *build, steps []step) []step {
		left = len(steps) - i
		return slices.Insert(steps, i, step{what: "fail", do: func() error { return injected }})
	})
	require.EqualError(t, err, "fail: injected", "and nothing went wrong with the undoing")
	return left
}

// applyChanged is Apply with a plan that the test changes.
func applyChanged(ctx context.Context, t *testing.T, p Place, c Config, change func(*build, []step) []step) error {
	t.Helper()
	want, err := p.check(c)
	require.NoError(t, err)
	s, err := p.open(ctx)
	require.NoError(t, err)
	defer s.close()
	b, err := s.lockAndLook(want)
	require.NoError(t, err)
	steps, err := b.steps()
	require.NoError(t, err)
	return run(ctx, change(b, steps))
}

// TestInterrupted: with the context at its end, all that is undone is undone nonetheless.
func TestInterrupted(t *testing.T) {
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	before := listing(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	err := applyChanged(ctx, t, p, withFiles(), func(_ *build, steps []step) []step {
		last := len(steps) - 1 // the record
		return slices.Insert(steps, last, step{what: "stop", do: func() error { cancel(); return nil }})
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, listing(t, p))
}

// TestKilled stops after any step, and undoes nothing. Delete takes all of it away.
func TestKilled(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, pathOf(newNetns(t)))
	before := listing(t, p)
	for i := 1; ; i++ {
		left := 0
		err := applyChanged(t.Context(), t, p, simple(), func(_ *build, steps []step) []step {
			left = len(steps) - i
			return steps[:i]
		})
		require.NoError(t, err)
		_, err = Delete(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, before, listing(t, p), "after %d steps", i)
		if left == 0 {
			return
		}
	}
}

// TestSwappedPeer: a container that puts another link in the place of the one that was made is found out.
func TestSwappedPeer(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, pathOf(target))
	err := applyChanged(t.Context(), t, p, simple(), func(_ *build, steps []step) []step {
		swap := func() error {
			ip(t, target, "link", "set", "eth0", "name", "x")
			ip(t, target, "link", "add", "eth0", "type", "veth", "peer", "name", "y")
			return nil
		}
		i := slices.IndexFunc(steps, func(s step) bool { return s.what == "find eth0 in the target" })
		return slices.Insert(steps, i, step{what: "swap", do: swap})
	})
	require.ErrorIs(t, err, ErrForeign)
	require.NotContains(t, ip(t, p.Host, "link"), "br0")
	require.Equal(t, "", ip(t, target, "address", "show", "eth0", "up"))
}

// TestDeletedPeer: a container that deletes its end has done the work of undoing already.
func TestDeletedPeer(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, pathOf(target))
	err := applyChanged(t.Context(), t, p, simple(), func(_ *build, steps []step) []step {
		i := slices.IndexFunc(steps, func(s step) bool { return s.what == "set eth0 up" })
		return slices.Insert(steps, i, step{what: "delete", do: func() error { ip(t, target, "link", "del", "eth0"); return nil }})
	})
	require.EqualError(t, err, "set eth0 up: no such device")
	require.NotContains(t, ip(t, p.Host, "link"), "br0")
}

// TestRollbackReal fails for real: the kernel refuses a step in the middle.
func TestRollbackReal(t *testing.T) {
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	before := listing(t, p)
	for want, change := range map[string]func(*Config){
		"set 2 sysctls":                   func(c *Config) { c.Sysctls["net.ipv6.conf.eth0.accept_ra"] = "many" },
		"set 3 sysctls":                   func(c *Config) { c.Sysctls["net.ipv6.conf.eth9.accept_ra"] = "1" },
		"add default route to fd00:88::1": func(c *Config) { c.Sysctls["net.ipv6.conf.eth0.disable_ipv6"] = "1" },
	} {
		c := withFiles()
		change(&c)
		_, err := apply(t, p, c)
		require.Error(t, err, want)
		require.Equal(t, before, listing(t, p), want)
		requireEmpty(t, p.RunDir)
	}
}

func TestDisabledIPv6IsNamed(t *testing.T) {
	target := startTarget(t, "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
	_, err := apply(t, newPlace(t, Target{PID: target.PID}), withFiles())
	require.ErrorIs(t, err, syscall.EACCES)
	require.ErrorContains(t, err, "IPv6 is disabled for the link (net.ipv6.conf.eth0.disable_ipv6)")
}

func TestUndoGoesOn(t *testing.T) {
	var undone []string
	made := func(name string, err error) step {
		return step{what: name, do: func() error { return nil }, undo: func() error { undone = append(undone, name); return err }}
	}
	last := step{what: "d", do: func() error { return syscall.EIO }, undo: func() error { panic("was never made") }}
	err := run(t.Context(), []step{made("a", nil), made("b", syscall.EBUSY), {what: "c", do: func() error { return nil }}, made("c2", nil), last})
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, err, syscall.EBUSY)
	require.Equal(t, "d: input/output error\nundo b: device or resource busy", err.Error())
	require.Equal(t, []string{"c2", "b", "a"}, undone)
}
