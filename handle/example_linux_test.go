package handle_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/species"
)

// Configure a link in another network namespace, without being in it: netlink takes the handle.
func Example_netlink() {
	pid := 4711
	ns, err := handle.GetFromPid(pid)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = ns.Close() }()

	inside, err := netlink.NewHandleAt(netns.NsHandle(ns))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inside.Close()
	lo, err := inside.LinkByName("lo")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := inside.LinkSetUp(lo); err != nil {
		fmt.Println(err)
		return
	}
	host, err := netlink.LinkByName("veth0")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := netlink.LinkSetNsFd(host, int(ns)); err != nil { // away from here, into there
		fmt.Println(err)
		return
	}
}

// Read /etc/os-release of a container, whatever its symbolic links say.
func ExampleOpenRoot() {
	container, err := handle.OpenProcess(4711)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = container.Close() }()

	root, err := handle.OpenRoot(container.Namespace(species.CLONE_NEWNS))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = root.Close() }()
	text, err := root.ReadFile("etc/os-release")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", text)
}

// Find the owner of a namespace: the user namespace that has the say over it, and the user who made that.
func ExampleRelation_owner() {
	owner, err := handle.NamespacePath("/run/netns/blue").User()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = owner.Close() }()
	id, err := owner.ID()
	if err != nil {
		fmt.Println(err)
		return
	}
	uid, err := owner.OwnerUID()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(id.LinkText(species.CLONE_NEWUSER), "made by user", uid)
}

// Climb from a process's user namespace to the initial one, or as far as the caller may see.
func ExampleRelation_climb() {
	at, err := handle.NewNamespaceFile(os.Open("/proc/self/ns/user"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = at.Close() }()
	for {
		id, err := at.ID()
		if err != nil {
			fmt.Println(err)
			return
		}
		if id.Ino == species.InitialInode(species.CLONE_NEWUSER) {
			fmt.Println("the initial one")
		}
		parent, err := at.Parent()
		if errors.Is(err, syscall.EPERM) { // the top, for the caller
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = at.Close()
		at = parent
	}
}

// Run a function in several namespaces of a process, joined in one step, and get its result.
func ExampleExecute() {
	container, err := handle.OpenProcess(4711)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = container.Close() }()
	name, err := handle.Execute(func() string {
		name, _ := os.Hostname()
		return name
	}, container.Namespaces(species.CLONE_NEWUTS, species.CLONE_NEWNET)...)
	fmt.Println(name, err)
}

// Ask before joining which right is lacking, and in which user namespace.
func ExampleMayJoin() {
	container, err := handle.OpenProcess(4711)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = container.Close() }()
	err = handle.MayJoin(container.Namespaces(species.CLONE_NEWNS, species.CLONE_NEWNET)...)
	var lack *species.CapabilityError
	if errors.As(err, &lack) {
		fmt.Println(lack.Capability, "is lacking in", lack.User.LinkText(species.CLONE_NEWUSER))
		return
	}
	fmt.Println(err)
}

// Look around in many network namespaces from one goroutine.
func ExampleLockThread() {
	thread := handle.LockThread()
	defer thread.Unlock()
	names, err := handle.List()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range names {
		ns, err := handle.GetFromName(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		err = thread.Visit(func() {
			links, err := netlink.LinkList()
			fmt.Println(name, len(links), err)
		}, ns)
		_ = ns.Close()
		if err != nil {
			fmt.Println(err)
			return
		}
	}
}
