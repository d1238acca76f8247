package facts

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/nsops/nsops/species"
)

// JSON may come from anywhere, and a little of it may become a lot: an empty object of two bytes is a process.

// maxObjects are how many objects there may be in any JSON, and bytesOfObject how long they are at least, on average, if
// there are more. What discover writes is three times as long.
const (
	maxObjects    = 1 << 17
	bytesOfObject = 32
)

// checkSize fails if JSON has so many objects that they would take far more memory than it does itself.
func checkSize(text []byte) error {
	most := max(maxObjects, len(text)/bytesOfObject)
	objects, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case c == '\\' && inString:
			i++
		case c == '{' && !inString:
			objects++
		}
	}
	if objects > most {
		return fmt.Errorf("%d objects in %d bytes: nsops does not write that", objects, len(text))
	}
	return nil
}

// List is an array of which nothing is read after an element that does not fit. Package json would make room for all.
type List[T any] []T

// UnmarshalJSON reads an array.
func (l *List[T]) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	start, err := decoder.Token()
	if err != nil || start == nil { // null
		return err
	}
	if start != json.Delim('[') {
		return errors.New("not an array")
	}
	for decoder.More() {
		var one *T
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		if one == nil { // null
			return errors.New("an element is null")
		}
		*l = append(*l, *one)
	}
	return nil
}

// Text is a text of the kernel, which may be anything but a zero byte: a JSON string if it is valid UTF-8, else an
// object with its bytes: {"base64": "/w=="}.
type Text string

type encoded struct {
	Base64 string `json:"base64"`
}

// MarshalJSON returns a string or an object.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(encoded{base64.StdEncoding.EncodeToString([]byte(t))})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Text) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '{' {
		var b encoded
		if err := json.Unmarshal(text, &b); err != nil {
			return err
		}
		raw, err := base64.StdEncoding.DecodeString(b.Base64)
		*t = Text(raw)
		return err
	}
	return json.Unmarshal(text, (*string)(t))
}

// Texts are several of them.
type Texts []string

// MarshalJSON returns an array.
func (t Texts) MarshalJSON() ([]byte, error) {
	texts := make([]Text, 0, len(t))
	for _, s := range t {
		texts = append(texts, Text(s))
	}
	return json.Marshal(texts)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Texts) UnmarshalJSON(text []byte) error {
	var texts []Text
	err := json.Unmarshal(text, &texts)
	for _, s := range texts {
		*t = append(*t, string(s))
	}
	return err
}

// Read returns the facts in JSON. It fails if they do not fit together, or would take far more memory than they should.
func Read(text []byte) (*Facts, error) {
	if err := checkSize(text); err != nil {
		return nil, err
	}
	f := &Facts{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, err
	}
	if f.Version != Version {
		return nil, errors.New("of another version")
	}
	return f, f.Resolve()
}

// Resolve sorts facts that have inode numbers for references, and has them refer by index; it fails if they do not fit.
func (f *Facts) Resolve() error {
	slices.SortFunc(f.Namespaces, func(a, b Namespace) int {
		return cmp.Or(TypeIndex(a.Type)-TypeIndex(b.Type), cmp.Compare(a.Inode, b.Inode))
	})
	slices.SortFunc(f.Processes, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	r := resolver{facts: f, refs: make(map[Ref]Ref, len(f.Namespaces))}
	r.number()
	for i := range f.Namespaces {
		r.namespace(&f.Namespaces[i])
	}
	for i := range f.Processes {
		r.process(i, &f.Processes[i])
	}
	for i := range f.Mounts {
		r.mounts(&f.Mounts[i])
	}
	return r.err
}

// resolver turns inode numbers into references. The first error is kept.
type resolver struct {
	facts *Facts
	refs  map[Ref]Ref // by inode number
	err   error
}

func (r *resolver) fail(format string, values ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, values...)
	}
}

// number notes which namespace has which inode number.
func (r *resolver) number() {
	for i := range r.facts.Namespaces {
		n := &r.facts.Namespaces[i]
		if n.Inode == 0 || n.Inode > math.MaxUint32 || r.refs[Ref(n.Inode)] != 0 {
			r.fail("inode number %d is not that of one namespace", n.Inode)
		}
		r.refs[Ref(n.Inode)] = Ref(i + 1)
	}
}

// find turns an inode number into the reference to the namespace of that type which has it.
func (r *resolver) find(ref *Ref, t species.NamespaceType) {
	if *ref == 0 {
		return
	}
	n := r.facts.Namespace(r.refs[*ref])
	if n == nil || n.Type != t {
		r.fail("no namespace %s:[%d]", t.Name(), *ref)
	}
	*ref = r.refs[*ref]
}

func (r *resolver) namespace(n *Namespace) {
	if TypeIndex(n.Type) < 0 {
		r.fail("namespace %d has no type", n.Inode)
	}
	if n.Parent != 0 && n.Type != species.CLONE_NEWUSER && n.Type != species.CLONE_NEWPID {
		r.fail("namespace %d has a parent", n.Inode)
	}
	r.find(&n.Owner, species.CLONE_NEWUSER)
	r.find(&n.Parent, n.Type)
	for i := range n.References {
		r.find(&n.References[i].MountNamespace, species.CLONE_NEWNS)
	}
}

func (r *resolver) process(i int, p *Process) {
	if min(p.PID, p.PPID) < 0 || max(p.PID, p.PPID) > math.MaxInt32 {
		r.fail("no process can have the PID %d or %d", p.PID, p.PPID)
	}
	if i > 0 && r.facts.Processes[i-1].PID == p.PID {
		r.fail("two processes with the PID %d", p.PID)
	}
	if int(p.Container) > len(r.facts.Containers) {
		r.fail("no container %d", p.Container-1)
	}
	r.links(&p.Namespaces)
	for i := range p.Tasks {
		r.links(&p.Tasks[i].Namespaces)
	}
}

func (r *resolver) links(l *Links) {
	for i := range l {
		r.find(&l[i], LinkType(i))
	}
}

func (r *resolver) mounts(t *MountTable) {
	if t.Namespace == 0 {
		r.fail("mounts of no namespace")
	}
	r.find(&t.Namespace, species.CLONE_NEWNS)
	ids := make(map[int]bool, len(t.Mounts))
	for i := range t.Mounts {
		if ids[t.Mounts[i].ID] {
			r.fail("two mounts with the ID %d", t.Mounts[i].ID)
		}
		ids[t.Mounts[i].ID] = true
	}
}
