package procfs

import (
	"bytes"
	"strconv"
)

// Mount is a line of /proc/PID/mountinfo; see proc_pid_mountinfo(5). Texts are as written: Unescape them.
type Mount struct {
	ID, Parent                  int
	Major, Minor                uint32
	Root, Point, Options        []byte
	Propagation                 []byte // the optional fields, such as shared:1 master:2
	Type, Source, SuperBlockOpt []byte
}

// NextMount parses the first line that is a mount, and returns those after it; ok is false at the end.
func NextMount(text []byte) (m Mount, rest []byte, ok bool) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, newline)
		if m, ok = parseMount(line); ok {
			return m, text, true
		}
	}
	return Mount{}, nil, false
}

func parseMount(line []byte) (m Mount, ok bool) {
	before, after, found := bytes.Cut(line, dash)
	if !found {
		return m, false
	}
	field := func(b *[]byte) (f []byte) {
		f, *b, _ = bytes.Cut(*b, space)
		return f
	}
	id, okID := pid(field(&before))
	parent, okParent := pid(field(&before))
	major, minor, okDev := bytes.Cut(field(&before), colon)
	majorN, okMajor := pid(major)
	minorN, okMinor := pid(minor)
	m = Mount{
		ID: id, Parent: parent, Major: uint32(majorN), Minor: uint32(minorN),
		Root: field(&before), Point: field(&before), Options: field(&before), Propagation: before,
		Type: field(&after), Source: field(&after), SuperBlockOpt: after,
	}
	return m, okID && okParent && okDev && okMajor && okMinor && len(m.Point) > 0 && len(m.Type) > 0
}

// NextPin returns the first line that is about a namespace's file, without parsing the others, and what follows.
func NextPin(text []byte) (m Mount, rest []byte, ok bool) {
	for {
		at := bytes.Index(text, nsfsMark)
		if at < 0 {
			return Mount{}, nil, false
		}
		start := bytes.LastIndexByte(text[:at], '\n') + 1
		line, after, _ := bytes.Cut(text[start:], newline)
		if m, ok = parseMount(line); ok && string(m.Type) == "nsfs" {
			return m, after, true
		}
		text = after
	}
}

var nsfsMark = []byte(" - nsfs ")

// Unescape appends what a text of mountinfo stands for: space, tab, newline, backslash and # are octal in there.
func Unescape(to, text []byte) []byte {
	for len(text) > 0 {
		at := bytes.IndexByte(text, '\\')
		if at < 0 {
			return append(to, text...)
		}
		to, text = append(to, text[:at]...), text[at:]
		code, err := strconv.ParseUint(string(text[1:min(4, len(text))]), 8, 8)
		if err != nil || len(text) < 4 {
			to, text = append(to, '\\'), text[1:]
			continue
		}
		to, text = append(to, byte(code)), text[4:]
	}
	return to
}
