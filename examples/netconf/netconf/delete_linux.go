package netconf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Deleted says what Delete took away.
type Deleted struct {
	Links []string `json:"deleted"` // of the host's side: host ends, then bridges
}

// Delete takes away all that Apply made for the target: it restores name servers and sysctls, deletes each interface
// that is tagged as ours, sets lo down if it was, and deletes each bridge that was made by Apply and has no more ports.
// With nothing there, it does nothing. It goes on after a problem; the error is an *Error around all of them.
func Delete(ctx context.Context, p Place) (*Deleted, error) {
	deleted := &Deleted{Links: []string{}}
	s, err := p.open(ctx)
	if err == nil {
		defer s.close()
		err = s.deleteAll(deleted)
	}
	if err != nil {
		return deleted, &Error{"delete from", p.Target.String(), err}
	}
	return deleted, nil
}

func (s *session) deleteAll(deleted *Deleted) error {
	if err := s.lockTarget(); err != nil {
		return err
	}
	links, err := listLinks(s.outside)
	if err != nil {
		return err
	}
	var problems []error
	for _, link := range links {
		if s.isOurs(link, "") {
			problems = append(problems, s.deletePair(link, deleted))
		}
	}
	for _, link := range links {
		if isOurBridge(link) {
			problems = append(problems, s.deleteBridge(link.Attrs().Name, deleted))
		}
	}
	return errors.Join(problems...)
}

func isOurBridge(link netlink.Link) bool {
	if link == nil || link.Type() != "bridge" {
		return false
	}
	a := link.Attrs()
	return a.Alias == bridgeTag || a.Alias == "" && a.Group == unfinished
}

// deletePair deletes a pair, and first what would not go with it.
func (s *session) deletePair(host netlink.Link, deleted *Deleted) error {
	problems := []error{s.restoreRecord(host)}
	if strings.HasSuffix(host.Attrs().Alias, loWord) {
		problems = append(problems, setLoDown(s.inside))
	}
	err := deleteLink(s.outside, host)
	if err == nil {
		deleted.Links = append(deleted.Links, host.Attrs().Name)
	}
	return errors.Join(append(problems, err)...)
}

// deleteBridge looks at the bridge again when nobody is about to use it.
func (s *session) deleteBridge(name string, deleted *Deleted) error {
	if err := s.lockBridge(name, exclusive); err != nil {
		return fmt.Errorf("bridge %s stays: %w", name, err)
	}
	defer func() { _ = s.lockBridge(name, unlocked) }()
	bridge, err := s.outside.send(getLink(name))[0].found(name)
	if err != nil || !isOurBridge(bridge) {
		return err
	}
	done, err := deleteUnused(s.outside, bridge)
	if done {
		deleted.Links = append(deleted.Links, name)
	}
	return err
}

// deleteUnused deletes a bridge and says so, unless it has ports.
func deleteUnused(s *socket, bridge netlink.Link) (done bool, err error) {
	links, err := listLinks(s)
	if err != nil {
		return false, err
	}
	isPort := func(link netlink.Link) bool { return link.Attrs().MasterIndex == bridge.Attrs().Index }
	if slices.ContainsFunc(links, isPort) {
		return false, nil
	}
	err = deleteLink(s, bridge)
	return err == nil, err
}

// deleteLink is content if somebody else was faster.
func deleteLink(s *socket, link netlink.Link) error {
	err := s.send(linkRequest(unix.RTM_DELLINK, link.Attrs().Index))[0].err
	if err == nil || isGone(err) {
		return nil
	}
	return fmt.Errorf("delete %s: %w", link.Attrs().Name, err)
}
