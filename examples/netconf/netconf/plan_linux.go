package netconf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// Sentinels, to be asked for with errors.Is.
var (
	ErrDiffers  = errors.New("is not as configured")
	ErrForeign  = errors.New("was not made by this program: choose another name")
	ErrNeedsPID = errors.New("needs a target given by PID: files are those of a process")
)

// Plan is a configuration to be made. Of the links, those that are missing are nil until a step makes them.
type Plan struct {
	*Session
	Config
	steps                  []step
	hostEnd                string // its name, the same in every run
	bridge, host, peer, lo netlink.Link
	there                  *Result  // what the target has, if there is a pair
	stack                  []string // what is to be undone
	hadPair, hadBridge     bool
	had                    int // how much of the stack is of an earlier run
}

// step is one change, which is made completely or not at all.
type step struct {
	what  string // such as "create bridge br0"
	again bool   // also where there is a pair
	do    func() error
}

// Plan finds out which steps are to be taken. If there is a pair, they set sysctls and name servers again; if anything else
// is not as configured, Plan is ErrDiffers: whoever changed it, the container perhaps, had a reason.
func (s *Session) Plan(c Config) (p *Plan, err error) {
	if c, err = c.check(); err != nil {
		return nil, err
	}
	if s.PID == 0 && !c.DNS.IsZero() {
		return nil, fmt.Errorf("dns %w", ErrNeedsPID)
	}
	p = &Plan{Session: s, Config: c, hostEnd: s.prefix + hash(c.Interface)[:3], there: &Result{}}
	if err := p.look(); err != nil {
		return nil, err
	}
	if err := p.addSteps(); err != nil {
		return nil, err
	}
	var lacks []string
	for _, s := range p.steps {
		if !s.again {
			lacks = append(lacks, s.what)
		}
	}
	if p.hadPair && lacks != nil {
		return nil, fmt.Errorf("%s %w, it lacks: %s; delete it, then apply again", c.Interface, ErrDiffers, strings.Join(lacks, "; "))
	}
	return p, nil
}

func (p *Plan) look() (err error) {
	var errs [4]error
	p.bridge, errs[0] = find(p.outside, p.Bridge.Name)
	p.host, errs[1] = find(p.outside, p.hostEnd)
	p.peer, errs[2] = find(p.inside, p.Interface)
	p.lo, errs[3] = find(p.inside, "lo")
	p.hadPair, p.hadBridge = p.host != nil, p.bridge != nil
	switch err := errors.Join(errs[:]...); {
	case err != nil:
		return err
	case p.hadBridge && p.bridge.Type() != "bridge":
		return fmt.Errorf("%s is a %s, not a bridge, and %w", p.Bridge.Name, p.bridge.Type(), ErrForeign)
	case p.hadBridge && !isUp(p.bridge):
		return fmt.Errorf("bridge %s is down: set it up, or delete it if a run was killed", p.Bridge.Name)
	case p.hadPair && !isOurs(p.host, "veth"):
		return fmt.Errorf("%s on the host's side %w", p.hostEnd, ErrForeign)
	case !p.hadPair && p.peer != nil:
		return fmt.Errorf("%s in the target %w", p.Interface, ErrForeign)
	case !p.hadPair:
		return nil
	case !p.hadBridge || p.peer == nil || !p.isPair():
		return fmt.Errorf("%s %w: it does not lead from %s to the target; delete it, then apply again", p.Interface, ErrDiffers, p.Bridge.Name)
	}
	p.stack = stackOf(p.host)
	p.had = len(p.stack)
	p.there, err = p.Show()
	return err
}

// Steps says what the steps are: none if all is as configured.
func (p *Plan) Steps() []string {
	all := []string{}
	for _, s := range p.steps {
		all = append(all, s.what)
	}
	return all
}

// Apply takes the steps, all or nothing: if one fails, or the context ends, what they have made is undone.
func (p *Plan) Apply() (*Result, error) {
	for _, s := range p.steps {
		err := context.Cause(p.ctx)
		if err == nil {
			err = s.do()
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", s.what, err), p.undo())
		}
	}
	return p.result(), nil
}

// addSteps adds those that are not done.
func (p *Plan) addSteps() error {
	bridge, ifname, outside, inside := p.Bridge.Name, p.Interface, p.outside, p.inside
	add := func(isDone bool, what string, do func() error) {
		if !isDone {
			p.steps = append(p.steps, step{what, false, do})
		}
	}
	add(p.hadBridge, "create bridge "+bridge, p.makeBridge)
	for _, a := range p.Bridge.Addresses {
		add(p.hadBridge, "add address "+a.String()+" to "+bridge, func() error { return addAddress(outside, p.bridge, a) })
	}
	add(p.hadBridge, "set "+bridge+" up", func() error { return outside.LinkSetUp(p.bridge) })
	isPort := p.hadPair && p.host.Attrs().MasterIndex == p.bridge.Attrs().Index
	add(p.hadPair && p.isAsMade(), p.pair(), p.makePair)
	add(p.hadPair, "find "+ifname+" in the target", p.findPeer)
	add(isPort, "attach "+p.hostEnd+" to bridge "+bridge, func() error { return outside.LinkSetMaster(p.host, p.bridge) })
	add(p.hadPair && isUp(p.host), "set "+p.hostEnd+" up", func() error { return outside.LinkSetUp(p.host) })
	if err := p.addSysctls(); err != nil { // before the interface is up
		return err
	}
	add(isUp(p.lo), "set lo up in the target", p.changing("lo", "down", func() error { return inside.LinkSetUp(p.lo) }))
	add(p.hadPair && isUp(p.peer), "set "+ifname+" up", func() error { return inside.LinkSetUp(p.peer) })
	i := slices.IndexFunc(p.there.Interfaces, func(l Interface) bool { return l.Name == ifname })
	for _, a := range p.Addresses {
		isThere := slices.Contains(p.there.IPs, IP{Interface: i, Address: a.Address})
		add(isThere, "add address "+a.Address.String()+" to "+ifname, func() error { return addAddress(inside, p.peer, a.Address) })
	}
	for _, a := range p.Addresses {
		isThere := !a.Gateway.IsValid() || slices.Contains(p.there.Routes, a.route())
		add(isThere, "add default route to "+a.Gateway.String(), func() error {
			return inside.RouteAdd(&netlink.Route{LinkIndex: p.peer.Attrs().Index, Gw: a.Gateway.AsSlice()})
		})
	}
	return p.addResolvConf()
}
