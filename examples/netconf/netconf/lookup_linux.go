package netconf

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
)

// found returns the link that was asked for, nil if there is none.
func (a answer) found(what string) (netlink.Link, error) {
	if a.err == nil || isGone(a.err) {
		return a.link, nil
	}
	return nil, fmt.Errorf("look for %s: %w", what, a.err)
}

// isGone says whether a request failed for want of the link, which may go at any time: with its peer, or with the
// peer's namespace.
func isGone(err error) bool { return errors.Is(err, syscall.ENODEV) }

// attempts is how often a list is read that somebody keeps changing meanwhile.
const attempts = 20

// list reads a list until it comes in one piece: a dump is interrupted by whatever changes during it.
func list[T any](s *socket, read func(*netlink.Handle) ([]T, error)) (all []T, err error) {
	h, err := s.handle()
	if err != nil {
		return nil, err
	}
	for range attempts {
		if all, err = read(h); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, err
}

func listLinks(s *socket) ([]netlink.Link, error) { return list(s, (*netlink.Handle).LinkList) }

func listAddresses(s *socket, link netlink.Link) ([]netlink.Addr, error) {
	return list(s, func(h *netlink.Handle) ([]netlink.Addr, error) { return h.AddrList(link, netlink.FAMILY_ALL) })
}

// listRoutes returns the routes of the main table, of link unless that is nil.
func listRoutes(s *socket, link netlink.Link) ([]netlink.Route, error) {
	return list(s, func(h *netlink.Handle) ([]netlink.Route, error) { return h.RouteList(link, netlink.FAMILY_ALL) })
}
