package netconf

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Apply gives the target what the configuration says, all or nothing: if a step fails or the context ends, what was
// made is undone. Applied again, with the interface as configured, it changes nothing, and Result.Changed is false.
// An interface that is not as configured is ErrDiffers, one that is not ours ErrForeign; neither is touched.
//
// It waits until nobody else configures the target, but not for the kernel to notice that the links are operational,
// which takes it a moment longer. It takes CAP_NET_ADMIN and CAP_SYS_ADMIN over both namespaces; DNS
// and Sysctls take what package call does. The error is an *Error.
func Apply(ctx context.Context, p Place, c Config) (*Result, error) {
	result, err := p.apply(ctx, c)
	if err != nil {
		return nil, &Error{"apply to", p.Target.String(), err}
	}
	return result, nil
}

func (p Place) apply(ctx context.Context, c Config) (*Result, error) {
	want, err := p.check(c)
	if err != nil {
		return nil, err
	}
	s, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.lockTarget(); err != nil {
		return nil, err
	}
	b, err := s.lockAndLook(want)
	if err != nil {
		return nil, err
	}
	steps, err := b.steps()
	if err != nil {
		return nil, err
	}
	if err := run(ctx, steps); err != nil {
		return nil, err
	}
	return b.result(len(steps) > 0), nil
}

// check parses the configuration, and refuses what cannot be had with the kind of target.
func (p Place) check(c Config) (*checked, error) {
	want, err := c.check()
	if err == nil && p.Target.PID == 0 && want.needsProcess() {
		err = fmt.Errorf("dns and sysctls: %w, since a path or name is of nothing but a network namespace", ErrNeedsPID)
	}
	return want, err
}

// Plan is what Apply would do.
type Plan struct {
	Target    string   `json:"target"`    // as given
	Namespace string   `json:"namespace"` // its device and inode number
	Steps     []string `json:"steps"`     // empty if all is there
}

// MakePlan tells what Apply would do, and changes nothing. Errors and rights are those of Apply; it does not wait for
// anybody.
func MakePlan(ctx context.Context, p Place, c Config) (*Plan, error) {
	plan, err := p.plan(ctx, c)
	if err != nil {
		return nil, &Error{"plan for", p.Target.String(), err}
	}
	return plan, nil
}

func (p Place) plan(ctx context.Context, c Config) (*Plan, error) {
	want, err := p.check(c)
	if err != nil {
		return nil, err
	}
	s, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	b, err := s.look(want)
	if err != nil {
		return nil, err
	}
	steps, err := b.steps()
	if err != nil {
		return nil, err
	}
	plan := &Plan{Target: p.Target.String(), Namespace: s.id.String(), Steps: []string{}}
	for _, step := range steps {
		plan.Steps = append(plan.Steps, step.what)
	}
	return plan, nil
}

// lockAndLook looks at what is there, with the bridge locked: shared, so that it stays, or for ourselves if it has to
// be made, so that nobody uses it before we are done, and it can be deleted again.
func (s *session) lockAndLook(want *checked) (*build, error) {
	name := want.Bridge.Name
	if err := s.lockBridge(name, shared); err != nil {
		return nil, err
	}
	b, err := s.look(want)
	if err != nil || b.bridge != nil {
		return b, err
	}
	if err := s.lockBridge(name, unlocked); err != nil { // or two of us would wait for each other
		return nil, err
	}
	if err := s.lockBridge(name, exclusive); err != nil {
		return nil, err
	}
	return s.look(want)
}

// build is a configuration being made. The links are those found; the steps fill in those they make.
type build struct {
	*session
	want   *checked
	bridge netlink.Link
	host   netlink.Link
	peer   netlink.Link // the target's end
	lo     netlink.Link
	old    record // what the steps found in files that they changed
}

// look finds the links that take part. Those that are missing are nil, but lo is in each namespace.
func (s *session) look(want *checked) (*build, error) {
	b := &build{session: s, want: want}
	bridge, host, ifname := want.Bridge.Name, s.hostName(want.Interface), want.Interface
	outside := s.outside.send(getLink(bridge), getLink(host))
	inside := s.inside.send(getLink(ifname), getLo())
	if inside[1].err != nil {
		return nil, fmt.Errorf("look for lo in the target: %w", inside[1].err)
	}
	b.lo = inside[1].link
	var errs [3]error
	b.bridge, errs[0] = outside[0].found("bridge " + bridge)
	b.host, errs[1] = outside[1].found("the host end")
	b.peer, errs[2] = inside[0].found(ifname + " in the target")
	if err := cmp.Or(errs[:]...); err != nil {
		return nil, err
	}
	return b, b.checkBridge()
}

func (b *build) checkBridge() error {
	switch name := b.want.Bridge.Name; {
	case b.bridge == nil:
		return nil
	case b.bridge.Type() != "bridge":
		return fmt.Errorf("%s is a %s, not a bridge: %w", name, b.bridge.Type(), ErrForeign)
	case !isUp(b.bridge):
		return errors.New("bridge " + name + " is down: set it up first")
	}
	return nil
}

// steps returns what there is to do.
func (b *build) steps() ([]step, error) {
	if b.host != nil {
		return b.rest()
	}
	if b.peer != nil {
		return nil, fmt.Errorf("%s in the target: %w", b.want.Interface, ErrForeign)
	}
	return b.all(), nil
}

// result is read off the links.
func (b *build) result(changed bool) *Result {
	peer := interfaceOf(b.peer)
	peer.MTU, peer.Sandbox = b.peer.Attrs().MTU, b.Target.sandbox()
	r := newResult(b.want, [...]Interface{interfaceOf(b.bridge), interfaceOf(b.host), peer})
	r.Changed = changed
	return r
}

func interfaceOf(link netlink.Link) Interface {
	return Interface{Name: link.Attrs().Name, MAC: link.Attrs().HardwareAddr.String()}
}
