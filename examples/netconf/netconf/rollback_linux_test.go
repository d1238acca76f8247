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
	p := placeOf(t, target)
	before := listing(t, p)
	for i := 0; ; i++ {
		left := failAt(t, p, withFiles(), i)
		require.Equal(t, before, listing(t, p), "step %d", i)
		if left == 1 { // resolv.conf, after which nothing can fail
			require.Greater(t, i, 14, "so many steps")
			return
		}
	}
}

// TestRollbackBesides keeps what was there before: a bridge with a port, and lo up.
func TestRollbackBesides(t *testing.T) {
	testutil.NeedRoot(t)
	target, other := newNetns(t), newNetns(t)
	p := newPlace(t, target)
	in(t, p.Host, func() { // else addresses are tentative for a second
		for _, of := range []string{"all", "default"} {
			require.NoError(t, os.WriteFile("/proc/sys/net/ipv6/conf/"+of+"/accept_dad", []byte("0"), 0))
		}
	})
	_, err := apply(t, place{Place{Target: other}, p.Host}, simple())
	require.NoError(t, err)
	ping(t, p.Host, "10.88.0.2") // bridge and port are operational
	settled := func() bool { return !strings.Contains(ip(t, p.Host, "address"), "tentative") }
	for end := time.Now().Add(10 * time.Second); !settled() && time.Now().Before(end); { // accept_dad or not, it takes a moment
		time.Sleep(time.Millisecond)
	}
	ip(t, target, "link", "set", "lo", "up")
	before := listing(t, p)
	c := simple()
	c.Addresses = []Address{addressOf("10.88.0.3/24", "10.88.0.1")}
	for i := 0; ; i++ {
		left := failAt(t, p, c, i)
		require.Equal(t, before, listing(t, p), "step %d", i)
		if left == 0 {
			return
		}
	}
}

// failAt applies with a step that fails put before step i, and returns how many steps there are from there on.
func failAt(t *testing.T, p place, c Config, i int) (left int) {
	t.Helper()
	injected := errors.New("injected")
	err := applyChanged(t.Context(), t, p, c, func(plan *Plan) {
		left = len(plan.steps) - i
		plan.insert(i, "fail", func() error { return injected })
	})
	require.EqualError(t, err, "fail: injected", "and nothing went wrong with the undoing")
	return left
}

// insert puts a step before step i.
func (p *Plan) insert(i int, what string, do func() error) {
	p.Steps, p.steps = slices.Insert(p.Steps, i, what), slices.Insert(p.steps, i, step{do: do})
}

// applyChanged applies a plan that the test changes.
func applyChanged(ctx context.Context, t *testing.T, p place, c Config, change func(*Plan)) error {
	t.Helper()
	_, err := within(t, p, func(s *Session) (*Result, error) {
		plan, err := s.Plan(c)
		require.NoError(t, err)
		change(plan)
		return plan.Apply(ctx)
	})
	return err
}

// TestInterrupted: with the context at its end, all that is undone is undone nonetheless.
func TestInterrupted(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	before := listing(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	err := applyChanged(ctx, t, p, withFiles(), func(plan *Plan) {
		plan.insert(len(plan.steps)-1, "stop", func() error { cancel(); return nil })
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, listing(t, p))
}

// TestKilled stops after any step, and undoes nothing. Delete takes links and resolv.conf away, and then it can be applied.
func TestKilled(t *testing.T) {
	target := startTarget(t, "ip link set lo up")
	p := placeOf(t, target)
	c := withFiles()
	delete(c.Sysctls, "net.ipv4.ip_forward")
	before := listing(t, p)
	for i, left := 1, 1; left > 0; i++ {
		_, err := within(t, p, func(s *Session) (*Plan, error) {
			plan, err := s.Plan(c)
			require.NoError(t, err)
			left = len(plan.steps) - i
			for _, step := range plan.steps[:i] {
				require.NoError(t, step.do())
			}
			return plan, nil
		})
		require.NoError(t, err)
		_, err = remove(t, p)
		require.NoError(t, err)
		require.Equal(t, before, listing(t, p), "after %d steps", i)
	}
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
}

// TestSwappedPeer: a container that puts another link in the place of the one that was made does not get that configured.
func TestSwappedPeer(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, target)
	err := applyChanged(t.Context(), t, p, simple(), func(plan *Plan) {
		plan.insert(slices.Index(plan.Steps, "find eth0 in the target"), "swap", func() error {
			ip(t, target, "link", "set", "eth0", "name", "x")
			ip(t, target, "link", "add", "eth0", "type", "veth", "peer", "name", "y")
			return nil
		})
	})
	require.NoError(t, err)
	require.Contains(t, ip(t, target, "address", "show", "x"), "10.88.0.2/24")
	require.Equal(t, "", ip(t, target, "address", "show", "eth0", "up"))
}

// TestDeletedPeer: a container that deletes its end has done the work of undoing already.
func TestDeletedPeer(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, target)
	err := applyChanged(t.Context(), t, p, simple(), func(plan *Plan) {
		plan.insert(slices.Index(plan.Steps, "set eth0 up"), "delete", func() error { ip(t, target, "link", "del", "eth0"); return nil })
	})
	require.ErrorContains(t, err, "set eth0 up: no such device")
	require.NotContains(t, ip(t, p.Host, "link"), "br0")
}

// TestRollbackReal fails for real: the kernel refuses a step in the middle.
func TestRollbackReal(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	before := listing(t, p)
	for want, change := range map[string]func(*Config){
		"set net.ipv6.conf.eth0.accept_ra=many":                func(c *Config) { c.Sysctls["net.ipv6.conf.eth0.accept_ra"] = "many" },
		"net/ipv6/conf/eth9/accept_ra":                         func(c *Config) { c.Sysctls["net.ipv6.conf.eth9.accept_ra"] = "1" },
		"add address fd00:88::2/64 to eth0: permission denied": func(c *Config) { c.Sysctls["net.ipv6.conf.eth0.disable_ipv6"] = "1" },
	} {
		c := withFiles()
		change(&c)
		_, err := apply(t, p, c)
		require.ErrorContains(t, err, want)
		require.Equal(t, before, listing(t, p), want)
	}
}

// TestUndoGoesOn after a failure, from the last change to the first.
func TestUndoGoesOn(t *testing.T) {
	testutil.NeedRoot(t)
	p := newPlace(t, newNetns(t))
	before := listing(t, p)
	c := simple()
	c.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
	err := applyChanged(t.Context(), t, p, c, func(plan *Plan) {
		plan.insert(len(plan.steps), "fail", func() error { return syscall.EIO })
		plan.insert(len(plan.steps)-1, "is not undone", func() error { return nil })
		plan.steps[len(plan.steps)-2].undo = func() error { return syscall.EBUSY }
	})
	require.EqualError(t, err, "fail: input/output error\ndevice or resource busy")
	require.Equal(t, before, listing(t, p))
}
