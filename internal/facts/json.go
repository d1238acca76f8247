package facts

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
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
