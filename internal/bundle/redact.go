package bundle

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-dev/writ/internal/canon"
)

// Redact gives input with each secret field replaced by mac of its canonical JSON. It leaves input itself as it is: it
// copies along the paths that it changes. A field that is not there stays away.
func (t *Tool) Redact(input map[string]any, mac func([]byte) string) map[string]any {
	for _, pointer := range t.Secret { // sorted: a parent is replaced before its children, which are then gone
		path, ok := pointerPath(pointer)
		if !ok {
			continue
		}
		if replaced, ok := redact(input, path, mac).(map[string]any); ok {
			input = replaced
		}
	}
	return input
}

// redact gives v with what is at path replaced. Its depth is that of the pointer.
func redact(v any, path []string, mac func([]byte) string) any {
	if len(path) == 0 {
		return mac(canon.AppendValue(nil, v))
	}
	switch v := v.(type) {
	case map[string]any:
		child, ok := v[path[0]]
		if !ok {
			return v
		}
		out := maps.Clone(v)
		out[path[0]] = redact(child, path[1:], mac)
		return out
	case []any:
		i, ok := arrayIndex(path[0])
		if !ok || i >= len(v) {
			return v
		}
		out := slices.Clone(v)
		out[i] = redact(v[i], path[1:], mac)
		return out
	}
	return v
}

// pointerPath splits a JSON pointer (RFC 6901) into its unescaped tokens. The empty pointer, which is the whole document,
// is refused: an input stays an object.
func pointerPath(pointer string) ([]string, bool) {
	if !strings.HasPrefix(pointer, "/") {
		return nil, false
	}
	path := strings.Split(pointer[1:], "/")
	for i, token := range path {
		rest := strings.NewReplacer("~0", "", "~1", "").Replace(token)
		if strings.Contains(rest, "~") {
			return nil, false
		}
		path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
	}
	return path, true
}

// arrayIndex reads an index as RFC 6901 writes it: no sign, no leading zero.
func arrayIndex(token string) (int, bool) {
	i, err := strconv.Atoi(token)
	if err != nil || i < 0 || strconv.Itoa(i) != token {
		return 0, false
	}
	return i, true
}
