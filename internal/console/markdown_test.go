package console

import (
	"fmt"
	"strings"
	"testing"
)

// outline is what was read, in one line for each block.
func outline(blocks []block) string {
	spans := func(all []piece) string {
		out := ""
		for _, s := range all {
			if s.Code {
				out += "<" + s.Text + ">"
			} else {
				out += s.Text
			}
		}
		return out
	}
	var lines []string
	for _, b := range blocks {
		line := string(b.Kind)
		if b.Level+b.Start > 0 {
			line += fmt.Sprint(" ", b.Level+b.Start)
		}
		line += ": " + spans(b.Spans) + b.Text
		for _, item := range b.Items {
			line += "[" + spans(item) + "]"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestARunbookIsReadAsItIsMeant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"headings and paragraphs":           {"# A\n\nOne\ntwo.\n## B\nThree", "heading 1: A\nparagraph: One two.\nheading 2: B\nparagraph: Three"},
		"no step of headings is left out":   {"### A\n# B\n###### C\n# D", "heading 1: A\nheading 1: B\nheading 2: C\nheading 1: D"},
		"lists":                             {"- a\n* b\n\n1. c\n2. d\n  and on\n", "bullets: [a][b]\nnumbers 1: [c][d and on]"},
		"a list with room goes on":          {"1. a\n\n2. b", "numbers 1: [a][b]"},
		"a list goes on behind another one": {"1. a\n   - x\n2. b", "numbers 1: [a]\nbullets: [x]\nnumbers 2: [b]"},
		"code":                              {"Do `writ stop` or `x\n```sh\n# no heading\n- no item\n```\nEnd", "paragraph: Do <writ stop> or `x\ncode: # no heading\n- no item\nparagraph: End"},
		"code without an end":               {"```\na", "code: a"},
		"what is neither":                   {"#no heading\n-no item\n1.no\n99999. no\n-", "paragraph: #no heading -no item 1.no 99999. no -"},
		"nothing":                           {"\n \n", ""},
		"markup":                            {"<b>x</b> [a](javascript:b)", "paragraph: <b>x</b> [a](javascript:b)"},
		"lines of Windows, odd bytes":       {"# A\r\nb\xff\r\n", "heading 1: A\nparagraph: b\uFFFD"},
	} {
		if got := outline(markdown(c.text)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func FuzzMarkdown(f *testing.F) {
	f.Add("# A\n- `b`\n1. c\n```\nd\n```\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, b := range markdown(text) {
			if b.Kind == blockHeading && (b.Level < 1 || b.Level > headingLevels) {
				t.Errorf("a heading of level %d", b.Level)
			}
		}
	})
}
