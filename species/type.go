package species

import (
	"errors"
	"strconv"
	"strings"
)

// NamespaceType is one of the eight types of namespaces, with its CLONE_NEW… value of clone(2). Combine types with | to
// a mask: int(mask) is the argument of setns(2) and unshare(2), and fits an int on every platform.
//
// The zero value is [NaNS], no type. A value that is neither a single type nor NaNS is a mask: it has a String, but
// neither a Name nor a marshalled text; convert it to a [Set] for these.
type NamespaceType uint64

// The eight types, in the order in which they are listed everywhere, each with the first kernel in which it is complete,
// according to namespaces(7) and the manual page of the type. To clone(2), though not to clone3(2), unshare(2) and
// setns(2), the bit of CLONE_NEWTIME is part of the exit signal (CSIGNAL).
const (
	CLONE_NEWNS     NamespaceType = 0x00020000 // mounts; Linux 2.4.19
	CLONE_NEWCGROUP NamespaceType = 0x02000000 // cgroups; Linux 4.6
	CLONE_NEWUTS    NamespaceType = 0x04000000 // host and NIS domain name; Linux 2.6.19
	CLONE_NEWIPC    NamespaceType = 0x08000000 // System V IPC and POSIX message queues; Linux 2.6.30
	CLONE_NEWUSER   NamespaceType = 0x10000000 // users and capabilities; Linux 3.8
	CLONE_NEWPID    NamespaceType = 0x20000000 // processes; Linux 2.6.24
	CLONE_NEWNET    NamespaceType = 0x40000000 // network; Linux 2.6.29
	CLONE_NEWTIME   NamespaceType = 0x00000080 // offsets of the monotonic and boot-time clocks; Linux 5.6

	// AllNS is the mask of all eight types.
	AllNS = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
		CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME

	// NaNS is no type, and the zero value.
	NaNS NamespaceType = 0
)

// kind describes a type.
type kind struct {
	t        NamespaceType
	name     string // in /proc/PID/ns
	constant string // in clone(2)
	inode    uint64 // of the initial namespace: enum init_ns_ino in linux/nsfs.h
}

// kinds has the eight types in the order in which they are listed.
var kinds = [...]kind{
	{CLONE_NEWNS, "mnt", "CLONE_NEWNS", 0xEFFFFFF8},
	{CLONE_NEWCGROUP, "cgroup", "CLONE_NEWCGROUP", 0xEFFFFFFB},
	{CLONE_NEWUTS, "uts", "CLONE_NEWUTS", 0xEFFFFFFE},
	{CLONE_NEWIPC, "ipc", "CLONE_NEWIPC", 0xEFFFFFFF},
	{CLONE_NEWUSER, "user", "CLONE_NEWUSER", 0xEFFFFFFD},
	{CLONE_NEWPID, "pid", "CLONE_NEWPID", 0xEFFFFFFC},
	{CLONE_NEWNET, "net", "CLONE_NEWNET", 0xEFFFFFF9},
	{CLONE_NEWTIME, "time", "CLONE_NEWTIME", 0xEFFFFFFA},
}

var errNoType = errors.New("not one of " + Set(AllNS).String())

// kindOf returns the zero kind for a value that is not a single type.
func kindOf(t NamespaceType) kind {
	for i := range kinds {
		if kinds[i].t == t {
			return kinds[i]
		}
	}
	return kind{}
}

// Name returns the name of the type in /proc/PID/ns, such as "mnt", and "" for a value that is not a single type.
func (t NamespaceType) Name() string { return kindOf(t).name }

// String returns the name of the constant, such as "CLONE_NEWNS", and "NaNS" for [NaNS]. For a mask it returns the
// types in listing order, then other bits in hexadecimal: "CLONE_NEWNS|CLONE_NEWNET|0x1".
func (t NamespaceType) String() string {
	if t == NaNS {
		return "NaNS"
	}
	return t.join("|", func(k *kind) string { return k.constant })
}

// join lists the words of the types in the mask, then the bits of no type.
func (t NamespaceType) join(sep string, word func(*kind) string) string {
	words := make([]string, 0, len(kinds)+1)
	for i := range kinds {
		if t&kinds[i].t != 0 {
			words = append(words, word(&kinds[i]))
		}
	}
	if rest := t &^ AllNS; rest != 0 {
		words = append(words, "0x"+strconv.FormatUint(uint64(rest), 16))
	}
	return strings.Join(words, sep)
}

// NameToType returns the type of that name in /proc/PID/ns, such as "mnt", and [NaNS] for any other name. The names are
// exact: "pid_for_children" is a link to a namespace of type "pid", not the name of a type.
func NameToType(name string) NamespaceType {
	for i := range kinds {
		if kinds[i].name == name {
			return kinds[i].t
		}
	}
	return NaNS
}

// MarshalText returns the Name, which is the empty text for [NaNS]. A mask is an [*Error]: marshal it as a [Set].
func (t NamespaceType) MarshalText() ([]byte, error) {
	name := t.Name()
	if name == "" && t != NaNS {
		return nil, &Error{Op: "marshal type", Type: t, Ref: t.String(), Err: errors.New("not a single namespace type")}
	}
	return []byte(name), nil
}

// UnmarshalText sets the type to that of the name, [NaNS] for the empty text. Other text is an [*Error] that names it.
func (t *NamespaceType) UnmarshalText(text []byte) error {
	found := NameToType(string(text))
	if found == NaNS && len(text) != 0 {
		return &Error{Op: "parse type", Ref: string(text), Err: errNoType}
	}
	*t = found
	return nil
}
