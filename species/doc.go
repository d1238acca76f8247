// Package species holds the words that all of nsops is written in: the eight
// types of Linux namespaces, sets of these types, and the ID that tells one
// namespace from another.
//
//   - [NamespaceType] is one of the eight types, with the CLONE_NEW… values of
//     clone(2), so that types or together into the mask that setns(2) and
//     unshare(2) take.
//   - [Set] is a set of types, written "mnt,net".
//   - [NamespaceID] is the device and inode number of a namespace, comparable
//     with ==. [IDwithType] reads it from the text "net:[4026531833]".
//   - [InitialInode] knows the inode numbers of the initial namespaces.
//
// Types and sets are listed in one order everywhere: mnt, cgroup, uts, ipc,
// user, pid, net, time.
//
// # Shapes in text and JSON
//
//	value          text                JSON
//	NamespaceType  net                 "net"
//	NaNS           (empty)             ""
//	Set            mnt,net             "mnt,net"
//	NamespaceID    4:4026531833        {"dev":4,"ino":4026531833}
//
// All of them are also keys of JSON objects, in their text shape. Numbers in
// JSON are exact here over all of uint64. Consumers that read numbers as
// float64, such as JavaScript, are exact below 2^53: inode numbers of
// namespaces have 32 bits and the device number of nsfs is small, so nothing is
// lost there either.
//
// A decoding that fails leaves its receiver as it was. Every error that leaves
// the package is an [*Error].
//
// # When not to use it
//
// The package does no I/O, imports neither syscall nor x/sys, and builds on any
// operating system. It can therefore not say which namespace a process is in,
// whether an ID still exists, or what the device number of nsfs is: package
// handle asks such questions of one namespace, package discover of the whole
// machine. An ID must not be stored in order to recognise a namespace later:
// the kernel gives inode numbers of dead namespaces to new ones at once.
package species
