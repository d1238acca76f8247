package netconf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
)

// step is one change, which is made completely or not at all: by do, or by a request to the kernel. Requests of
// neighbours to one socket go in one message; so none may need what comes of another.
type step struct {
	what    string // such as "create bridge br0"
	do      func() error
	undo    func() error // nil: what it made goes away with that of an earlier step
	to      *socket      // of a request
	request func() *nl.NetlinkRequest
	denied  string // what EACCES means, "" if nothing in particular
}

// explainDenied puts before EACCES what that means.
func explainDenied(err error, denied string) error {
	if denied == "" || !errors.Is(err, syscall.EACCES) {
		return err
	}
	return fmt.Errorf("%s: %w", denied, err)
}

// addressStep returns a step that adds an address to a link.
func (s *socket) addressStep(link string, p netip.Prefix, index func() int) step {
	add := s.step("add address "+p.String()+" to "+link, func() *nl.NetlinkRequest { return addAddress(index(), p) })
	if p.Addr().Is6() {
		add.denied = "IPv6 is disabled for the link (net.ipv6.conf." + link + ".disable_ipv6)"
	}
	return add
}

// step returns a step that is a request.
func (s *socket) step(what string, request func() *nl.NetlinkRequest) step {
	return step{what: what, to: s, request: request}
}

// run takes the steps one after the other. If one fails, or the context ends, those before it are undone, last first;
// and those after it that went in the same message.
func run(ctx context.Context, steps []step) error {
	var done []step
	for len(steps) > 0 {
		var failed error
		together := steps[:countTogether(steps)]
		for i, err := range take(ctx, together) {
			unknown := together[i].to != nil && errors.Is(err, errUnanswered)
			if err == nil || unknown {
				done = append(done, together[i])
			}
			if err != nil && failed == nil {
				failed = fmt.Errorf("%s: %w", together[i].what, explainDenied(err, together[i].denied))
			}
		}
		if failed != nil {
			return errors.Join(failed, undo(done))
		}
		steps = steps[len(together):]
	}
	return nil
}

// countTogether says how many of the first steps go in one message.
func countTogether(steps []step) int {
	n := 1
	for n < min(len(steps), maxBatch) && steps[0].to != nil && steps[n].to == steps[0].to {
		n++
	}
	return n
}

// take takes steps that go together, and returns an error for each, or one if the context has ended.
func take(ctx context.Context, steps []step) []error {
	if err := context.Cause(ctx); err != nil {
		return []error{err}
	}
	if steps[0].to == nil {
		return []error{steps[0].do()}
	}
	requests, errs := make([]*nl.NetlinkRequest, len(steps)), make([]error, len(steps))
	for i, s := range steps {
		requests[i] = s.request()
	}
	for i, a := range steps[0].to.send(requests...) {
		errs[i] = a.err
	}
	return errs
}

// undo goes on after a failure: as much as possible is undone.
func undo(steps []step) error {
	var problems []error
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].undo == nil {
			continue
		}
		if err := steps[i].undo(); err != nil {
			problems = append(problems, fmt.Errorf("undo %s: %w", steps[i].what, err))
		}
	}
	return errors.Join(problems...)
}
