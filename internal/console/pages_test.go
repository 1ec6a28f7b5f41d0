package console

import (
	"html/template"
	"io/fs"
	"path"
	"strings"
	"testing"
)

// TestEveryPageParses: pages are parsed when they are first shown, and none may fail then.
func TestEveryPageParses(t *testing.T) {
	t.Parallel()
	s := &Server{}
	p := &templates{funcs: s.funcs(), parsed: map[string]*template.Template{}}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d templates: %v", len(names), err)
	}
	for _, name := range names {
		name = strings.TrimSuffix(path.Base(name), ".html")
		if name == "base" || name == "parts" {
			continue
		}
		if first := p.get(name); first.Lookup("base") == nil || p.get(name) != first {
			t.Errorf("%s has no frame, or is parsed twice", name)
		}
	}
}
