package netconf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"

	"github.com/nsops/nsops/handle"
)

// socket is a netlink socket in a network namespace, for several requests in one message, of which the kernel has
// answered all when it has taken the message. The methods of package netlink send one request each, and have the network
// poller wait for the answer, which takes Apply twice as many system calls.
type socket struct {
	ns    handle.NsHandle
	fd    int
	lists *netlink.Handle // for lists, which take many answers; nil until it is needed
}

// answer is what the kernel says to a request.
type answer struct {
	link netlink.Link // if one was asked for
	err  error
}

// errUnanswered says that nobody knows whether a request was fulfilled.
var errUnanswered = errors.New("no answer")

// maxBatch is how many requests go in one message at most: a socket has no room for the answers to some hundreds.
const maxBatch = 50

// openSocket opens a socket in a namespace. The calling thread, to which the goroutine is locked, goes there for a
// moment and comes back home; home is None if it is there already.
func openSocket(ns, home handle.NsHandle) (s *socket, err error) {
	if home.IsOpen() {
		if err := handle.Set(ns); err != nil {
			return nil, err
		}
	}
	s = &socket{ns: ns}
	s.fd, err = syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err == nil {
		kernel := &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}
		err = syscall.Connect(s.fd, kernel) // else root in the container could send answers
	}
	if home.IsOpen() {
		if stray := handle.Set(home); stray != nil {
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			err = fmt.Errorf("%w: %w", handle.ErrTainted, stray)
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) close() {
	if s == nil {
		return
	}
	if s.fd >= 0 {
		_ = syscall.Close(s.fd)
	}
	if s.lists != nil {
		s.lists.Close()
	}
}

// handle returns the namespace's handle of package netlink, of one family: unless told, that opens sockets of all
// twenty.
func (s *socket) handle() (h *netlink.Handle, err error) {
	if s.lists == nil {
		s.lists, err = netlink.NewHandleAt(netns.NsHandle(s.ns), syscall.NETLINK_ROUTE)
	}
	return s.lists, err
}

// send has the kernel fulfil up to maxBatch requests, one after the other, and returns one answer for each. One that
// fails does not keep the kernel from the next.
func (s *socket) send(requests ...*nl.NetlinkRequest) []answer {
	var message []byte
	for _, r := range requests {
		message = append(message, r.Serialize()...)
	}
	answers := make([]answer, len(requests))
	_, err := syscall.Write(s.fd, message)
	for i, r := range requests {
		if err == nil {
			answers[i], err = s.receive(r.Seq)
		}
		if err != nil {
			answers[i].err = fmt.Errorf("%w: %w", errUnanswered, err)
		}
	}
	if err != nil {
		s.drop()
	}
	return answers
}

// drop makes room for other answers by throwing away those that came after one that could not be read.
func (s *socket) drop() {
	var nothing [1]byte
	for err := error(nil); err == nil || errors.Is(err, syscall.ENOBUFS); {
		_, _, err = syscall.Recvfrom(s.fd, nothing[:], syscall.MSG_DONTWAIT)
	}
}

// receive returns the answer to the request with that number. Answers come in the order of the requests; others are left
// over from a message whose answers could not be read.
func (s *socket) receive(number uint32) (answer, error) {
	var buffer [8 << 10]byte
	for {
		n, from, err := syscall.Recvfrom(s.fd, buffer[:], syscall.MSG_DONTWAIT|syscall.MSG_TRUNC)
		if err != nil {
			return answer{}, err
		}
		if !isKernel(from) {
			continue
		}
		if n > len(buffer) { // a link with a hundred other names
			return answer{}, syscall.EMSGSIZE
		}
		messages, err := syscall.ParseNetlinkMessage(bytes.Clone(buffer[:n])) // a link keeps parts
		if err != nil {
			return answer{}, err
		}
		if len(messages) > 0 && messages[0].Header.Seq == number {
			return parseAnswer(messages[0]), nil
		}
	}
}

// isKernel tells what the kernel says from what somebody sent while the socket was being connected to it.
func isKernel(from syscall.Sockaddr) bool {
	a, ok := from.(*syscall.SockaddrNetlink)
	return ok && a.Pid == 0
}

func parseAnswer(m syscall.NetlinkMessage) (a answer) {
	if m.Header.Type == syscall.RTM_NEWLINK {
		a.link, a.err = parseLink(m.Data)
	} else if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
		a.err = syscall.Errno(errno)
	}
	return a
}
