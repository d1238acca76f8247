// Package species has the basic values of nsops: the eight types of Linux namespaces, sets of these types, and the ID
// that distinguishes one namespace from another.
//
//   - [NamespaceType] is one of the eight types, with its CLONE_NEW… value of clone(2). Types combined with | are the
//     mask for setns(2) and unshare(2).
//   - [Set] is a set of types, written "mnt,net".
//   - [NamespaceID] is the device and inode number of a namespace, comparable with ==. [IDwithType] reads it from the
//     text "net:[4026531833]".
//
// # Shapes in text and JSON
//
//	value          text                JSON
//	NamespaceType  net                 "net"
//	NaNS           (empty)             ""
//	Set            mnt,net             "mnt,net"
//	NamespaceID    4:4026531833        {"dev":4,"ino":4026531833}
//
// All of them are also keys of JSON objects, as text. Readers of JSON that have only float64, such as JavaScript, lose
// nothing: inode numbers of namespaces have 32 bits, and the device number of nsfs is small.
//
// A decoding that fails leaves its receiver as it was. Every error that leaves the package is an [*Error].
//
// # When not to use it
//
// The package does no I/O, imports neither syscall nor x/sys, and builds on any operating system. So it cannot tell
// which namespace a process is in, whether a namespace with an ID still exists, or what the device number of nsfs is:
// package handle does that for one namespace, package discover for the whole machine. Do not store an ID to recognise a
// namespace later: the kernel may give the inode number of a namespace that is gone to a new one at once.
package species
