package discover_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// schema checks a value against the few words of JSON Schema that docs/discovery.schema.json uses.
type schema struct{ root map[string]any }

func readSchema(t *testing.T) schema {
	text, err := os.ReadFile("../docs/discovery.schema.json")
	require.NoError(t, err)
	var s schema
	require.NoError(t, json.Unmarshal(text, &s.root))
	s.root["properties"].(map[string]any)["version"] = map[string]any{"const": json.Number("1")}
	return s
}

func (s schema) check(at string, rule map[string]any, value any) error {
	for word, want := range rule {
		if err := s.word(at, word, want, rule, value); err != nil {
			return err
		}
	}
	return nil
}

func (s schema) word(at, word string, want any, rule map[string]any, value any) error {
	switch word {
	case "$schema", "$id", "$defs", "title", "description", "properties":
	case "$ref":
		name := strings.TrimPrefix(want.(string), "#/$defs/")
		return s.check(at, s.root["$defs"].(map[string]any)[name].(map[string]any), value)
	case "const":
		if value != want {
			return fmt.Errorf("%s is %v, not %v", at, value, want)
		}
	case "enum":
		if !slices.Contains(want.([]any), value) {
			return fmt.Errorf("%s is %v, none of %v", at, value, want)
		}
	case "anyOf":
		for _, one := range want.([]any) {
			if s.check(at, one.(map[string]any), value) == nil {
				return nil
			}
		}
		return fmt.Errorf("%s is %v: none fits", at, value)
	case "minimum":
		number, ok := value.(json.Number)
		least, err := number.Float64()
		if !ok || err != nil || least < want.(float64) {
			return fmt.Errorf("%s is %v, less than %v", at, value, want)
		}
	case "type":
		return checkType(at, want.(string), value)
	case "items":
		for i, item := range value.([]any) {
			if err := s.check(fmt.Sprintf("%s[%d]", at, i), want.(map[string]any), item); err != nil {
				return err
			}
		}
	case "required":
		for _, name := range want.([]any) {
			if _, ok := value.(map[string]any)[name.(string)]; !ok {
				return fmt.Errorf("%s lacks %v", at, name)
			}
		}
	case "additionalProperties":
		return s.members(at, want, rule, value.(map[string]any))
	default:
		return fmt.Errorf("%s: this test does not know %s", at, word)
	}
	return nil
}

func (s schema) members(at string, others any, rule, value map[string]any) error {
	properties, _ := rule["properties"].(map[string]any)
	for name, member := range value {
		own, ok := properties[name].(map[string]any)
		if !ok {
			if own, ok = others.(map[string]any); !ok {
				return fmt.Errorf("%s has %s, which is not described", at, name)
			}
		}
		if err := s.check(at+"."+name, own, member); err != nil {
			return err
		}
	}
	return nil
}

func checkType(at, want string, value any) error {
	ok := false
	switch want {
	case "object":
		_, ok = value.(map[string]any)
	case "array":
		_, ok = value.([]any)
	case "string":
		_, ok = value.(string)
	case "boolean":
		_, ok = value.(bool)
	case "integer":
		var number json.Number
		if number, ok = value.(json.Number); ok {
			ok = !strings.ContainsAny(number.String(), ".e")
		}
	}
	if !ok {
		return fmt.Errorf("%s is %v, not of type %s", at, value, want)
	}
	return nil
}

func TestSchema(t *testing.T) {
	testutil.NeedRoot(t)
	pinned(t)
	testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	inThisProcess(t)
	s, text := readSchema(t), checkSchema(t)
	require.Error(t, s.check("result", s.root, decodeNumbers(t, `{"version":2}`)))
	require.Error(t, s.check("result", s.root, decodeNumbers(t, strings.Replace(text, `"inode"`, `"number"`, 1))))
}

func TestSchemaOfAContainer(t *testing.T) {
	testutil.NeedRoot(t)
	_, id := unnamed(t)
	require.Contains(t, checkSchema(t), id)
}

// checkSchema returns what a discovery finds as JSON, once it has the form that is described.
func checkSchema(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(full(t))
	require.NoError(t, err)
	s := readSchema(t)
	require.NoError(t, s.check("result", s.root, decodeNumbers(t, string(text))))
	return string(text)
}

func decodeNumbers(t *testing.T, text string) (value any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&value))
	return value
}
