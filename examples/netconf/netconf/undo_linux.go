package netconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// changing returns a step that first pushes what is to be undone: the path of a sysctl, "lo" or "resolv.conf", and what that
// was. The stack is kept in the alias of the host end, which neither the container nor a SIGKILL takes away.
func (p *Plan) changing(key, old string, change func() error) func() error {
	return func() error {
		if !slices.ContainsFunc(p.stack, func(undo string) bool { return strings.HasPrefix(undo, key+" ") }) { // it is older
			p.stack = append(p.stack, key+" "+old)
		}
		text, _ := json.Marshal(p.stack)
		if err := p.outside.LinkSetAlias(p.host, string(text)); err != nil {
			return fmt.Errorf("keep what is to be undone in the alias of %s, which has 255 bytes: %w", p.hostEnd, err)
		}
		return change()
	}
}

// stackOf returns the stack of an earlier run.
func stackOf(host netlink.Link) (stack []string) {
	_ = json.Unmarshal([]byte(host.Attrs().Alias), &stack) // an alias of somebody else's is none
	return stack
}

// restore goes on after a problem, as all does that takes something away.
func (s *Session) restore(stack []string) (err error) {
	for _, undo := range slices.Backward(stack) {
		var failed error
		switch key, old, _ := strings.Cut(undo, " "); key {
		case "lo":
			failed = setLoDown(s.inside)
		case resolvConf:
			failed = s.restoreResolvConf(old)
		default:
			failed = s.writeSysctl(sysctlPath(key), old)
		}
		err = errors.Join(err, failed)
	}
	return err
}

// undo takes away what the plan has made. What was there before it stays.
func (p *Plan) undo() error {
	_, err := p.deleteLinks(func(link netlink.Link) bool {
		name := link.Attrs().Name
		return !p.hadPair && name == p.hostEnd || !p.hadBridge && name == p.Bridge.Name
	})
	return errors.Join(p.restore(p.stack[p.had:]), err)
}

// Delete takes away all that was made for the target, also by a program that was killed; and bridges that were made here
// and have no more ports. It returns the names of the links. An error does not keep it from going on.
func (s *Session) Delete() ([]string, error) {
	isOfTarget := func(link netlink.Link) bool {
		return isOurs(link, "veth") && strings.HasPrefix(link.Attrs().Name, s.prefix)
	}
	links, err := list(s.outside.LinkList)
	for _, link := range links {
		if isOfTarget(link) {
			err = errors.Join(err, s.restore(stackOf(link)))
		}
	}
	deleted, failed := s.deleteLinks(func(link netlink.Link) bool { return isOfTarget(link) || link.Type() == "bridge" })
	return deleted, errors.Join(err, failed)
}

// deleteLinks deletes those pairs of ours, then those bridges, unless they have ports.
func (s *Session) deleteLinks(which func(netlink.Link) bool) (deleted []string, err error) {
	deleted = []string{}
	for _, kind := range []string{"veth", "bridge"} {
		links, failed := list(s.outside.LinkList)
		err = errors.Join(err, failed)
		for _, link := range links {
			isPort := func(other netlink.Link) bool { return other.Attrs().MasterIndex == link.Attrs().Index }
			if !isOurs(link, kind) || !which(link) || slices.ContainsFunc(links, isPort) {
				continue
			}
			if failed := s.outside.LinkDel(link); failed != nil && !errors.Is(failed, unix.ENODEV) { // it goes with its peer
				err = errors.Join(err, fmt.Errorf("delete %s: %w", link.Attrs().Name, failed))
			}
			deleted = append(deleted, link.Attrs().Name)
		}
	}
	return deleted, err
}
