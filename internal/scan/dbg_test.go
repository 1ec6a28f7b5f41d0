package scan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDbg(t *testing.T) {
	s := NewReader()
	var texts []string
	for _, g := range []string{"cursorrules/*", "owasp-cheatsheets/*", "bipia/email/*.jsonl", "agentdojo-env/suites/*/*.yaml"} {
		ps, _ := filepath.Glob("/work/shared/data/injection/" + g)
		for _, p := range ps {
			b, _ := os.ReadFile(p)
			texts = append(texts, string(b))
		}
	}
	b, _ := os.ReadFile("/tmp/trig.txt")
	texts = append(texts, strings.Split(string(b), "\n")...)
	n := map[string]int{}
	for _, x := range texts {
		for _, v := range s.layers(x)[:1] {
			a := s.analyse(v)
			for _, h := range a.hits {
				if h.guarded || !strings.Contains(os.Getenv("R"), h.id) {
					continue
				}
				if n[h.id]++; n[h.id] > 22 {
					continue
				}
				fmt.Printf("%s: %q\n", h.id, a.v.text[max(0, h.from-60):min(len(a.v.text), h.to+40)])
			}
		}
	}
	fmt.Println(n)
}
