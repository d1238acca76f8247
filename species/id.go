package species

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// NamespaceID distinguishes a namespace from all others of any type that exist at the same time. IDs compare with ==
// and are keys of maps. They are not ordered by age, and when a namespace is gone, a new one may get its ID.
//
// An ID read from text is uncompleted: the text has no device number, so Dev is 0. [NamespaceID.WithDev] completes it.
// An uncompleted ID never equals a completed one, not even that of the same namespace: complete it first.
type NamespaceID struct {
	Dev uint64 // st_dev of the namespace's file as stat(2) gives it; 0 if not known
	Ino uint64 // st_ino of the namespace's file; never 0 for a namespace
}

// NoneID is the ID of no namespace, and the zero value. Do not assign to it.
var NoneID NamespaceID

// NamespaceIDFromInode returns the uncompleted ID with that inode number, and [NoneID] for 0.
func NamespaceIDFromInode(ino uint64) NamespaceID { return NamespaceID{Ino: ino} }

// IDwithType returns the uncompleted ID and the type from a text such as "net:[4026531905]". It is the target of the
// link /proc/PID/ns/net, and the root field of mountinfo for a pin. The type of the link pid_for_children is "pid".
//
// The text must be exactly what the kernel writes: the name of a type, a colon, and in brackets a decimal number above
// 0 that fits 64 bits, without sign, space or leading zero. Anything else gives [NoneID] and [NaNS].
//
// It does not allocate for a text that is well-formed or of another type, and s does not escape:
// IDwithType(string(buf)) does not allocate for up to 32 bytes.
func IDwithType(s string) (NamespaceID, NamespaceType) {
	name, rest, _ := strings.Cut(s, ":")
	t := NameToType(name)
	if t == NaNS || len(rest) < 2 || rest[0] != '[' || rest[len(rest)-1] != ']' {
		return NoneID, NaNS
	}
	ino, ok := parseDecimal(rest[1 : len(rest)-1])
	if !ok || ino == 0 {
		return NoneID, NaNS
	}
	return NamespaceIDFromInode(ino), t
}

// parseDecimal takes digits without a leading zero only, so that each number has one text.
func parseDecimal(s string) (uint64, bool) {
	if len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// WithDev returns the ID with the device number dev: the st_dev of the file of any namespace, as all are on the one nsfs
// of the kernel. For an ID without an inode number, such as [NoneID], it returns NoneID.
func (id NamespaceID) WithDev(dev uint64) NamespaceID {
	if id.Ino == 0 {
		return NoneID
	}
	return NamespaceID{Dev: dev, Ino: id.Ino}
}

// LinkText is the inverse of [IDwithType]: it returns a text such as "net:[4026531905]". The text is empty if t is not a
// single type or the inode number is 0.
func (id NamespaceID) LinkText(t NamespaceType) string {
	name := t.Name()
	if name == "" || id.Ino == 0 {
		return ""
	}
	return name + ":[" + strconv.FormatUint(id.Ino, 10) + "]"
}

// String returns device and inode number in decimal, such as "4:4026531833", and "NoneID" for [NoneID].
func (id NamespaceID) String() string {
	if id == NoneID {
		return "NoneID"
	}
	return id.text()
}

func (id NamespaceID) text() string {
	return strconv.FormatUint(id.Dev, 10) + ":" + strconv.FormatUint(id.Ino, 10)
}

// MarshalText returns a text such as "4:4026531833", and "0:0" for [NoneID]. The error is always nil.
func (id NamespaceID) MarshalText() ([]byte, error) { return []byte(id.text()), nil }

// UnmarshalText sets the ID from the text of MarshalText. Signs, spaces, leading zeros, numbers beyond 64 bits and all
// other texts, "net:[4026531905]" and "NoneID" included, are an [*Error] that names the text.
func (id *NamespaceID) UnmarshalText(text []byte) error {
	devText, inoText, _ := strings.Cut(string(text), ":")
	dev, devOK := parseDecimal(devText)
	ino, inoOK := parseDecimal(inoText)
	if !devOK || !inoOK {
		return &Error{Op: "parse ID", Ref: string(text), Err: errors.New("not DEV:INO in decimal")}
	}
	*id = NamespaceID{Dev: dev, Ino: ino}
	return nil
}

// MarshalJSON returns the object {"dev":4,"ino":4026531833}, also for [NoneID] (both 0). The error is always nil.
func (id NamespaceID) MarshalJSON() ([]byte, error) {
	return []byte(`{"dev":` + strconv.FormatUint(id.Dev, 10) + `,"ino":` + strconv.FormatUint(id.Ino, 10) + `}`), nil
}

// UnmarshalJSON sets the ID from the object of MarshalJSON. Both members must be there; others are ignored; null
// changes nothing. A string is decoded as by UnmarshalText, since encoding/json passes the keys of objects this way.
// Anything else is an [*Error] that names the text and wraps the error of encoding/json, if any.
func (id *NamespaceID) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	if len(text) > 0 && text[0] == '"' {
		var key string
		if json.Unmarshal(text, &key) == nil {
			return id.UnmarshalText([]byte(key))
		}
	}
	var object struct{ Dev, Ino *uint64 }
	err := json.Unmarshal(text, &object)
	if err == nil && (object.Dev == nil || object.Ino == nil) {
		err = errors.New(`not an object with numbers "dev" and "ino"`)
	}
	if err != nil {
		return &Error{Op: "parse ID", Ref: string(text), Err: err}
	}
	*id = NamespaceID{Dev: *object.Dev, Ino: *object.Ino}
	return nil
}

// InitialInode returns the inode number of the initial namespace of a type, and 0 for a value that is not a single type.
//
//	mnt  4026531832   cgroup 4026531835   user 4026531837   ipc 4026531839
//	net  4026531833   pid    4026531836   uts  4026531838
//	time 4026531834
//
// The numbers of pid, user, uts and ipc are fixed since Linux 3.8, those of cgroup and time since these types exist
// (Linux 4.6 and 5.6), those of mnt and net since Linux 6.17. Before, the initial mount and network namespaces get a
// number at boot, like any other namespace: compare with a process known to be in them.
func InitialInode(t NamespaceType) uint64 { return kindOf(t).inode }

// IsInitialInode reports whether ino, the inode number of a file of nsfs, is that of an initial namespace of any type.
// True is certain: no other file of nsfs has such a number. False is certain, except for mount and network namespaces
// before Linux 6.17; see [InitialInode].
func IsInitialInode(ino uint64) bool {
	return slices.ContainsFunc(kinds[:], func(k kind) bool { return k.inode == ino })
}
