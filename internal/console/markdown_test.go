package console

import (
	"regexp"
	"strings"
	"testing"
)

func TestARunbookIsReadAsItIsMeant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"headings begin below the page's":      {"# A\n\nOne\ntwo.\n## B", "<h3>A</h3>\n<p>One\ntwo.</p>\n<h4>B</h4>\n"},
		"no step of headings is left out":      {"### A\n# B\n###### C\n# D", "<h3>A</h3>\n<h3>B</h3>\n<h4>C</h4>\n<h3>D</h3>\n"},
		"lists":                                {"1. a\n   - x\n2. b", "<ol>\n<li>a\n<ul>\n<li>x</li>\n</ul>\n</li>\n<li>b</li>\n</ol>\n"},
		"code":                                 {"Do `writ stop`\n```sh\n# no <heading>\n```", "<p>Do <code>writ stop</code></p>\n<pre><code class=\"language-sh\"># no &lt;heading&gt;\n</code></pre>\n"},
		"what somebody has to put in":          {"writ switch stop --agent <agent> now", "<p>writ switch stop --agent &lt;agent&gt; now</p>\n"},
		"links, and what only looks like one":  {"[a](https://a.example) [b](javascript:b) [c](data:text/html,x)", "<p><a href=\"https://a.example\">a</a> <a href=\"\">b</a> <a href=\"\">c</a></p>\n"},
		"pictures are links":                   {"![the *map*](https://a.example/map.png)", "<p><a href=\"https://a.example/map.png\">the <em>map</em></a></p>\n"},
		"a block of HTML":                      {"<script>\nalert(1)\n</script>\n", "<p>&lt;script&gt;\nalert(1)\n&lt;/script&gt;\n</p>\n"},
		"HTML in a line, and an entity for it": {"a <img src=x onerror=b> &lt;b&gt;", "<p>a &lt;img src=x onerror=b&gt; &lt;b&gt;</p>\n"},
		"a text that is too long":              {strings.Repeat("> ", proseBytesMax), "<pre>" + strings.Repeat("&gt; ", proseBytesMax) + "</pre>"},
	} {
		got, err := prose(newMarkdown(), c.text)
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v:\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
}

// written is all that a text may become: a fixed set of elements, and of attributes of three of them.
var (
	tagRE     = regexp.MustCompile(`<[^>]*>`)
	writtenRE = regexp.MustCompile(`^</?(h[3-6]|p|ul|ol|li|pre|code|em|strong|blockquote|a|br|hr)( start="\d+"| class="language-[^"<>]*"| href="[^"<>]*"| title="[^"<>]*")* ?/?>$`)
	evilRE    = regexp.MustCompile(`(?i)href="\s*(javascript|vbscript|data|file):`)
)

func FuzzARunbookBecomesNoOtherMarkup(f *testing.F) {
	for _, seed := range []string{"# A\n- `b`\n1. c\n```\nd\n```\n", "<script>x</script>", "[a](<javascript:b> \"t\")", "![x](y)\n\n> q <b\n", "<a href='x'>", "a\\\nb  \nc", "``` \" onload=x\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := prose(newMarkdown(), text)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tagRE.FindAllString(string(got), -1) {
			if !writtenRE.MatchString(tag) {
				t.Errorf("%q becomes %s", text, tag)
			}
		}
		if evilRE.MatchString(string(got)) || strings.Contains(string(got), "<!--") {
			t.Errorf("%q becomes %s", text, got)
		}
	})
}
