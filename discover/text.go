package discover

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

// wireText is a text of the kernel, which may be anything but a zero byte: a JSON string if it is valid UTF-8, else an
// object with its bytes: {"base64": "/w=="}.
type wireText string

type wireBytes struct {
	Base64 string `json:"base64"`
}

// MarshalJSON returns a string or an object.
func (t wireText) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(wireBytes{base64.StdEncoding.EncodeToString([]byte(t))})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *wireText) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '{' {
		var b wireBytes
		if err := json.Unmarshal(text, &b); err != nil {
			return err
		}
		raw, err := base64.StdEncoding.DecodeString(b.Base64)
		*t = wireText(raw)
		return err
	}
	return json.Unmarshal(text, (*string)(t))
}

func wireTexts(list []string) []wireText {
	texts := make([]wireText, 0, len(list))
	for _, s := range list {
		texts = append(texts, wireText(s))
	}
	return texts
}

func plainTexts(list []wireText) []string {
	var texts []string
	for _, s := range list {
		texts = append(texts, string(s))
	}
	return texts
}
