// Package netconf gives a container an interface, as a CNI plugin would: a veth pair of which one end is eth0 in the
// target and the other is a port of a bridge, with addresses, default routes, name servers and sysctls.
//
// [Apply] makes what a [Config] says, and undoes all of it if any step fails. Applied again it changes nothing; it
// refuses an interface that was changed meanwhile. [MakePlan] tells what Apply would do, [Show] what the target has,
// [Delete] takes away what Apply made.
//
// What is ours is tagged: the host end of each pair, and each bridge that was made here, carries an alias, or a bridge
// that is not finished a group. Nothing without it is ever deleted. The host end's name is computed from the target's
// identity, so that nothing has to be remembered to find it again.
//
// Everything on the links is done with netlink from outside, through a socket in either namespace, several requests in a
// message; package netlink lists what is there. Only name servers and sysctls take code that runs in the target's
// namespaces: the handlers in inside_linux.go, called with package call. So the program has to call
// call.HandleReexec first thing in main.
//
// Do not use it to change the interface of a running container, and not as a CNI plugin: it lacks the protocol,
// address management and every choice that needs a second kind of link.
package netconf
