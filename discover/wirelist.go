package discover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// JSON may come from anywhere, and a little of it may become a lot: an empty object is two bytes, and a process.

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

// wireList is an array of objects of which none is read after one that does not fit. Package json would go on, and make
// room for all.
type wireList[T any] []T

// UnmarshalJSON reads an array.
func (l *wireList[T]) UnmarshalJSON(text []byte) error {
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

// wireDerived is what follows from the rest: it is written, and not read.
type wireDerived[T any] struct{ value T }

func derived[T any](value T) wireDerived[T] { return wireDerived[T]{value} }

// MarshalJSON writes the value.
func (d wireDerived[T]) MarshalJSON() ([]byte, error) { return json.Marshal(d.value) }

// UnmarshalJSON reads nothing.
func (d *wireDerived[T]) UnmarshalJSON([]byte) error { return nil }
