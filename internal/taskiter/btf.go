package taskiter

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// types is the kernel's description of its own types: the BPF Type Format of the kernel's documentation, bpf/btf.rst.
type types struct {
	data    []byte   // the types, one after the other
	strings []byte   // their names
	starts  []uint32 // where each type begins, by its number
	named   map[typeName]uint32
}

type typeName struct {
	kind int
	name string
}

// What a type is.
const (
	kindInt       = 1
	kindArray     = 3
	kindStruct    = 4
	kindUnion     = 5
	kindEnum      = 6
	kindTypedef   = 8
	kindVolatile  = 9
	kindConst     = 10
	kindFunc      = 12
	kindFuncProto = 13
	kindVar       = 14
	kindDataSec   = 15
	kindDeclTag   = 17
	kindTypeTag   = 18
	kindEnum64    = 19
	kinds         = 20
)

// after is how many bytes follow the head of a type: for each member, and whatever the number of members.
var after = [kinds]struct{ each, always int }{
	kindInt: {0, 4}, kindArray: {0, 12}, kindStruct: {12, 0}, kindUnion: {12, 0}, kindEnum: {8, 0}, kindFuncProto: {8, 0},
	kindVar: {0, 4}, kindDataSec: {12, 0}, kindDeclTag: {0, 4}, kindEnum64: {12, 0},
}

var errTypes = errors.New("unreadable description of kernel types")

const typesMagic, headSize, memberSize = 0xeb9f, 12, 12

// parseTypes reads all of them, and notes where the wanted ones are.
func parseTypes(b []byte, wanted []typeName) (*types, error) {
	const header = 24
	if len(b) < header || binary.NativeEndian.Uint16(b) != typesMagic {
		return nil, errTypes
	}
	u32 := func(at int) int { return int(binary.NativeEndian.Uint32(b[at:])) }
	start := u32(4)
	typeStart, typeEnd := start+u32(8), start+u32(8)+u32(12)
	textStart, textEnd := start+u32(16), start+u32(16)+u32(20)
	if max(typeStart, typeEnd, textStart, textEnd) > len(b) || typeStart > typeEnd || textStart > textEnd {
		return nil, errTypes
	}
	t := &types{data: b[typeStart:typeEnd], strings: b[textStart:textEnd], named: map[typeName]uint32{}}
	for _, name := range wanted {
		t.named[name] = 0
	}
	return t, t.index()
}

// index finds where each type begins.
func (t *types) index() error {
	t.starts = append(make([]uint32, 0, len(t.data)/24), 0)
	for at := 0; at < len(t.data); {
		if len(t.data)-at < headSize {
			return errTypes
		}
		kind, members := t.kindAt(at)
		if kind >= kinds {
			return errTypes
		}
		if kind == kindFunc || kind == kindStruct && members > 0 {
			if number, ok := t.named[typeName{kind, string(t.name(t.word(at)))}]; ok && number == 0 {
				t.named[typeName{kind, string(t.name(t.word(at)))}] = uint32(len(t.starts))
			}
		}
		t.starts = append(t.starts, uint32(at))
		at += headSize + after[kind].always + members*after[kind].each
		if at > len(t.data) {
			return errTypes
		}
	}
	return nil
}

func (t *types) word(at int) uint32 { return binary.NativeEndian.Uint32(t.data[at:]) }

func (t *types) kindAt(at int) (kind, members int) {
	info := t.word(at + 4)
	return int(info >> 24 & 0x1f), int(info & 0xffff)
}

// name returns the text at that place.
func (t *types) name(at uint32) []byte {
	if int(at) >= len(t.strings) {
		return nil
	}
	text, _, _ := bytes.Cut(t.strings[at:], []byte{0})
	return text
}

const (
	deepest   = 16   // of typedefs
	mostLooks = 1000 // at structs and unions for one field
)

// member finds a field of a struct or union, also in the nameless ones in it.
func (t *types) member(number uint32, field string, left *int) (bits int, of uint32, ok bool) {
	number, ok = t.plain(number)
	if *left--; !ok || *left < 0 {
		return 0, 0, false
	}
	at := int(t.starts[number])
	kind, members := t.kindAt(at)
	if kind != kindStruct && kind != kindUnion {
		return 0, 0, false
	}
	bitFields := t.word(at+4)>>31 != 0
	for i := range members {
		m := at + headSize + i*memberSize
		name, of, offset := t.name(t.word(m)), t.word(m+4), int(t.word(m+8))
		if bitFields {
			offset &= 0xffffff
		}
		if string(name) == field {
			return offset, of, true
		}
		if len(name) == 0 {
			if inner, of, ok := t.member(of, field, left); ok {
				return offset + inner, of, true
			}
		}
	}
	return 0, 0, false
}

// plain returns what lies behind names and qualifiers.
func (t *types) plain(number uint32) (uint32, bool) {
	for range deepest {
		if number == 0 || int(number) >= len(t.starts) {
			return 0, false
		}
		at := int(t.starts[number])
		switch kind, _ := t.kindAt(at); kind {
		case kindTypedef, kindVolatile, kindConst, kindTypeTag:
			number = t.word(at + 8)
		default:
			return number, true
		}
	}
	return 0, false
}
