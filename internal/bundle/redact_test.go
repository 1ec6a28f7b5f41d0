package bundle

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func bracket(data []byte) string { return "<" + string(data) + ">" }

func TestSecretsAreReplacedAndTheInputStaysAsItWas(t *testing.T) {
	t.Parallel()
	input := func() map[string]any {
		return map[string]any{
			"card": "4242", "pin": json.Number("7"), "list": []any{"a", map[string]any{"b": true}}, "at": map[string]any{"a/b": nil, "m~n": "x", "keep": "y"},
			"whole": map[string]any{"z": "1", "a": "2"},
		}
	}
	given := input()
	tool := Tool{Secret: []string{"/at/a~1b", "/at/m~0n", "/card", "/card/inner", "/list/1/b", "/list/01", "/list/9", "/missing/x", "/pin", "/whole", "/whole/a", "bad", ""}}
	want := map[string]any{
		"card": `<"4242">`, "pin": "<7>", "list": []any{"a", map[string]any{"b": "<true>"}}, "at": map[string]any{"a/b": "<null>", "m~n": `<"x">`, "keep": "y"},
		"whole": `<{"a":"2","z":"1"}>`,
	}
	if diff := cmp.Diff(want, tool.Redact(given, bracket)); diff != "" {
		t.Errorf("redacted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(input(), given); diff != "" {
		t.Errorf("the input changed (-want +got):\n%s", diff)
	}
}

func FuzzNoSecretSurvivesRedaction(f *testing.F) {
	f.Add("/card", "card")
	f.Add("/a~1b/0", "a/b")
	f.Add("/~01", "~1")
	f.Fuzz(func(t *testing.T, pointer, key string) {
		const secret = "the-secret"
		input := map[string]any{key: secret}
		got := (&Tool{Secret: []string{pointer}}).Redact(input, func([]byte) string { return "hidden" })
		escaped := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		if hidden := got[key] == "hidden"; hidden != (pointer == escaped) {
			t.Errorf("pointer %q, key %q: hidden is %v", pointer, key, hidden)
		}
		if input[key] != secret {
			t.Error("the input changed")
		}
	})
}
