package content

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/taint"
)

// TestWhatNamesSomebodyIsLookedThrough: an input whose identifiers are not looked for has no host, address or URL.
func TestWhatNamesSomebodyIsLookedThrough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`([a-zA-Z0-9]{0,5}[.@:/,;=_?*\\"' -]{0,3}){0,6}`)).Draw(t, "text")
		input := map[string]any{"a": text, "b": []any{text}}
		if MayName(canon.AppendValue(nil, input)) {
			return
		}
		found := Identify(input)
		if i := slices.IndexFunc(found, func(p Placed) bool { return p.Kind == taint.Host || p.Kind == taint.Mail || p.Kind == taint.URL }); i >= 0 {
			t.Fatalf("%q names %v", text, found[i])
		}
	})
}
