package facts

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

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
