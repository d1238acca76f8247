package species

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"strings"
)

// Set is a set of types. The zero value is the empty set. Sets compare with ==, and convert from and to a mask of
// types: Set(CLONE_NEWNS|CLONE_NEWNET), NamespaceType(set), and int(set) for setns(2) and unshare(2).
//
// Bits that are no type get into a Set only by conversion. They are no members: Len and All ignore them. But they are
// kept, so that the kernel can refuse them: String shows them, and MarshalText returns an error.
type Set NamespaceType

// ParseSet returns the set written as type names with commas between them, such as "net,mnt", in any order. The empty
// text is the empty set, the word "all" means all eight types, and a type may be repeated. Spaces, empty words and
// unknown names are an [*Error] that names the word and the valid ones; the set is then empty.
func ParseSet(text string) (Set, error) {
	var s Set
	if text == "" {
		return s, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		t := NameToType(word)
		if word == "all" {
			t = AllNS
		}
		if t == NaNS {
			return 0, &Error{Op: "parse set", Ref: word, Err: fmt.Errorf("%w; or all", errNoType)}
		}
		s = s.With(t)
	}
	return s, nil
}

// Has reports whether t is in the set; a mask is in the set when all of its types are. [NaNS] is in no set.
func (s Set) Has(t NamespaceType) bool { return t != NaNS && NamespaceType(s)&t == t }

// With returns the set with the given types, or masks of types, added.
func (s Set) With(types ...NamespaceType) Set {
	for _, t := range types {
		s |= Set(t)
	}
	return s
}

// Without returns the set with the given types, or masks of types, removed.
func (s Set) Without(types ...NamespaceType) Set {
	return s &^ Set(0).With(types...)
}

// Len returns the number of types in the set, 0 to 8.
func (s Set) Len() int { return bits.OnesCount64(uint64(s) & uint64(AllNS)) }

// All returns the types of the set in listing order: mnt, cgroup, uts, ipc, user, pid, net, time.
func (s Set) All() iter.Seq[NamespaceType] {
	return func(yield func(NamespaceType) bool) {
		for i := range kinds {
			if s.Has(kinds[i].t) && !yield(kinds[i].t) {
				return
			}
		}
	}
}

// String returns the names of the types in listing order with commas between them, such as "mnt,net", and for the empty
// set the empty text. It never returns "all". Bits that are no type follow in hexadecimal.
func (s Set) String() string {
	return NamespaceType(s).join(",", func(k *kind) string { return k.name })
}

// MarshalText returns the text of String. A set with bits that are no type is an [*Error].
func (s Set) MarshalText() ([]byte, error) {
	if foreign := NamespaceType(s) &^ AllNS; foreign != 0 {
		return nil, &Error{Op: "marshal set", Type: NamespaceType(s), Ref: s.String(), Err: errors.New("has bits that are no namespace type")}
	}
	return []byte(s.String()), nil
}

// UnmarshalText sets the set to the result of [ParseSet].
func (s *Set) UnmarshalText(text []byte) error {
	parsed, err := ParseSet(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}
