package facts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// List is an array of objects of which none is read after one that does not fit. Package json would go on, and make
// room for all.
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

// Derived is what follows from the rest: it is written, and not read.
type Derived[T any] struct{ value T }

// Derive returns a value to be written.
func Derive[T any](value T) Derived[T] { return Derived[T]{value} }

// MarshalJSON writes the value.
func (d Derived[T]) MarshalJSON() ([]byte, error) { return json.Marshal(d.value) }

// UnmarshalJSON reads nothing.
func (d *Derived[T]) UnmarshalJSON([]byte) error { return nil }
