package netconf

import (
	"errors"
	"syscall"

	"github.com/vishvananda/netlink"
)

// find returns the link with that name, nil if there is none.
func find(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if isGone(err) {
		return nil, nil //nolint:nilnil // a missing link is what is hoped for
	}
	return link, err
}

// isGone says whether a request failed for want of the link, which may go at any time: with its peer, or with the
// peer's namespace.
func isGone(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing) || errors.Is(err, syscall.ENODEV)
}

// attempts is how often a list is read that somebody keeps changing meanwhile.
const attempts = 20

// list reads a list until it comes in one piece: a dump is interrupted by whatever changes during it.
func list[T any](read func() ([]T, error)) (all []T, err error) {
	for range attempts {
		if all, err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, err
}

func listLinks(h *netlink.Handle) ([]netlink.Link, error) { return list(h.LinkList) }

func listAddresses(h *netlink.Handle, link netlink.Link) ([]netlink.Addr, error) {
	return list(func() ([]netlink.Addr, error) { return h.AddrList(link, netlink.FAMILY_ALL) })
}

// listRoutes returns the routes of the main table, of link unless that is nil.
func listRoutes(h *netlink.Handle, link netlink.Link) ([]netlink.Route, error) {
	return list(func() ([]netlink.Route, error) { return h.RouteList(link, netlink.FAMILY_ALL) })
}
