package console

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// block is a piece of a text for people: a heading, a paragraph, a list or code. Only templates make markup of it, so whatever was
// written stays text.
type block struct {
	Kind  blockKind
	Level int       // of a heading, from 1, without a step left out
	Start int       // number of the first item of a numbered list
	Spans []piece   // of a heading or a paragraph
	Items [][]piece // of a list
	Text  string    // of code
}

type blockKind string

const (
	blockHeading   blockKind = "heading"
	blockParagraph blockKind = "paragraph"
	blockBullets   blockKind = "bullets"
	blockNumbers   blockKind = "numbers"
	blockCode      blockKind = "code"
)

// piece is a part of a line.
type piece struct {
	Text string
	Code bool
}

// headingLevels is how deep headings are told apart.
const headingLevels = 3

// fence begins and ends code.
const fence = "```"

// markdown reads the little Markdown that runbooks are written in: headings, paragraphs, lists, code. What it does not know stays as
// it was written. It takes time linear in the text.
func markdown(text string) []block {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	r := &blockReader{}
	for line := range strings.Lines(text) {
		r.line(strings.TrimRight(line, " \t\r\n"))
	}
	r.flush()
	return r.out
}

// blockReader reads a text line by line.
type blockReader struct {
	out   []block
	kind  blockKind // of what is being read; empty: nothing
	start int
	items []string // its lines; of a list, its items
	level int      // of the last heading
}

// flush ends what is being read.
func (r *blockReader) flush() {
	b := block{Kind: r.kind, Start: r.start}
	switch r.kind {
	case blockParagraph:
		b.Spans = spansOf(strings.Join(r.items, " "))
	case blockBullets, blockNumbers:
		for _, item := range r.items {
			b.Items = append(b.Items, spansOf(item))
		}
	case blockCode:
		b.Text = strings.Join(r.items, "\n")
	case blockHeading:
	}
	if r.kind != "" {
		r.out = append(r.out, b)
	}
	r.kind, r.start, r.items = "", 0, nil
}

// begin ends what was read before and begins something else.
func (r *blockReader) begin(kind blockKind, start int, first ...string) {
	r.flush()
	r.kind, r.start, r.items = kind, start, first
}

func (r *blockReader) line(line string) {
	plain := strings.TrimLeft(line, " \t")
	isFence := strings.HasPrefix(plain, fence)
	switch {
	case r.kind == blockCode && isFence:
		r.flush()
		return
	case r.kind == blockCode:
		r.items = append(r.items, line)
		return
	case isFence:
		r.begin(blockCode, 0)
		return
	case plain == "":
		if r.kind == blockParagraph {
			r.flush()
		}
		return
	}
	if level, title, ok := headingOf(line); ok {
		r.flush()
		r.level = min(level, r.level+1, headingLevels)
		r.out = append(r.out, block{Kind: blockHeading, Level: r.level, Spans: spansOf(title)})
		return
	}
	if kind, number, item, ok := itemOf(plain); ok {
		if r.kind == kind {
			r.items = append(r.items, item)
		} else {
			r.begin(kind, number, item)
		}
		return
	}
	inList := r.kind == blockBullets || r.kind == blockNumbers
	switch {
	case inList && len(plain) < len(line): // it goes on with the item
		r.items[len(r.items)-1] += " " + plain
	case r.kind == blockParagraph:
		r.items = append(r.items, plain)
	default:
		r.begin(blockParagraph, 0, plain)
	}
}

// headingOf reads a line as # to ###### and a title.
func headingOf(line string) (level int, title string, ok bool) {
	rest := strings.TrimLeft(line, "#")
	level = len(line) - len(rest)
	if level == 0 || level > 6 || !strings.HasPrefix(rest, " ") {
		return 0, "", false
	}
	return level, strings.TrimSpace(strings.TrimRight(rest, "#")), true
}

// itemOf reads a line as an item of a list.
func itemOf(line string) (kind blockKind, number int, item string, ok bool) {
	mark, item, ok := strings.Cut(line, " ")
	switch {
	case !ok:
		return "", 0, "", false
	case mark == "-" || mark == "*" || mark == "+":
		return blockBullets, 0, strings.TrimSpace(item), true
	}
	digits, ok := strings.CutSuffix(mark, ".")
	number, err := strconv.Atoi(digits)
	if !ok || err != nil || number < 0 || len(digits) > 4 {
		return "", 0, "", false
	}
	return blockNumbers, number, strings.TrimSpace(item), true
}

// spansOf tells what stands between backticks from the rest.
func spansOf(text string) []piece {
	parts := strings.Split(text, "`")
	if len(parts)%2 == 0 { // the last backtick has no other one
		parts[len(parts)-2] += "`" + parts[len(parts)-1]
		parts = parts[:len(parts)-1]
	}
	var out []piece
	for i, part := range parts {
		if part != "" {
			out = append(out, piece{Text: part, Code: i%2 == 1})
		}
	}
	return out
}
