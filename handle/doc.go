// Package handle opens and compares Linux namespaces in the manner of github.com/vishvananda/netns.
//
// An NsHandle is an open descriptor that keeps a network namespace alive; copies share it and it is closed once, by
// whoever opened it. It converts to netns.NsHandle, which is what github.com/vishvananda/netlink takes:
//
//	netlink.NewHandleAt(netns.NsHandle(h))
//
// The package is pure Go. To run code inside a process's namespaces, see package call.
package handle
