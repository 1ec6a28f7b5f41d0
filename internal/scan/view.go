package scan

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"unicode/utf8"
)

// view is one form of the text: the text itself or something decoded from it. src says of each byte where in the original it
// comes from, in the low bits, and how it got here, in the marks.
type view struct {
	text  []byte
	src   []uint32
	layer string // "" for the text itself
}

// The low bits of a src are an offset; ContentBytesMax must fit. The rest are marks.
const (
	offsetBits          = 22
	offsetMask   uint32 = 1<<offsetBits - 1
	markJSON     uint32 = 1 << (offsetBits + 0) // written as \u0069 or \x69
	markEntity   uint32 = 1 << (offsetBits + 1) // written as &#105;
	markURL      uint32 = 1 << (offsetBits + 2) // written as %69
	markHidden   uint32 = 1 << (offsetBits + 3) // in an element that a browser does not show
	markComment  uint32 = 1 << (offsetBits + 4) // in a comment
	markUpper    uint32 = 1 << (offsetBits + 5) // was a capital letter
	markInvisble uint32 = 1 << (offsetBits + 6) // had an invisible character in front
	markLookalik uint32 = 1 << (offsetBits + 7) // was a letter of another script
)

// layers returns the text and everything that is decoded from it, at most depthMax deep. All that one decoder finds in one view
// is one view, so there are few and their sizes add up to a fixed multiple of the text.
func (s *Scanner) layers(m *scratch, text string) []*view {
	all := append(m.layers[:0], unescaped(m, m.root(text)))
	from := 0
	for range depthMax {
		to := len(all)
		for _, v := range all[from:to] {
			l := lead(v.text)
			for _, d := range []struct {
				can    bool
				name   string
				decode func(out, v *view)
			}{{l.base64, "base64", base64s}, {l.hex, "hex", hexes}, {l.tags, "tags", tagCharacters}, {l.spaced, "spaced", s.spacedLetters}} {
				if !d.can {
					continue
				}
				child := m.view(0)
				d.decode(child, v)
				if len(child.text) == 0 {
					m.drop()
					continue
				}
				child.layer = d.name
				if v.layer != "" {
					child.layer = v.layer + ">" + d.name
				}
				all = append(all, unescaped(m, child))
			}
		}
		from = to
	}
	m.layers = all
	return all
}

// unescaped undoes JSON, HTML and URL escapes in place, twice at most.
func unescaped(m *scratch, v *view) *view {
	for range depthMax {
		next, changed := unescape(m, v)
		if !changed {
			return v
		}
		v = next
	}
	return v
}

// nextEscape is where the next character that may begin an escape stands, or the end.
func nextEscape(b []byte, i int) int {
	for i < len(b) && b[i] != '\\' && b[i] != '&' && b[i] != '%' {
		i++
	}
	return i
}

func unescape(m *scratch, v *view) (*view, bool) {
	if bytes.IndexByte(v.text, '\\') < 0 && bytes.IndexByte(v.text, '&') < 0 && bytes.IndexByte(v.text, '%') < 0 {
		return v, false
	}
	at := nextEscape(v.text, 0)
	if at == len(v.text) {
		return v, false
	}
	out := m.view(len(v.text))
	out.layer = v.layer
	changed := false
	for i := 0; ; {
		out.text, out.src = append(out.text, v.text[i:at]...), append(out.src, v.src[i:at]...)
		if at == len(v.text) {
			break
		}
		n := out.escape(v, at)
		changed = changed || n > 0
		if n == 0 {
			out.text, out.src = append(out.text, v.text[at]), append(out.src, v.src[at])
			n = 1
		}
		i = at + n
		at = nextEscape(v.text, i)
	}
	if !changed {
		m.drop()
		return v, false
	}
	return out, true
}

// escape writes what an escape at i stands for and returns its length, 0 when there is none.
func (o *view) escape(v *view, i int) int {
	var r rune
	var n int
	var mark uint32
	raw := false
	switch v.text[i] {
	case '\\':
		r, n, mark = backslash(v.text[i:])
	case '&':
		r, n = entity(v.text[i:])
		mark = markEntity
	case '%':
		r, n = percent(v.text[i:])
		mark, raw = markURL, true
	}
	before := len(o.text)
	switch {
	case n == 0 || r < 0: // none, or one that stands for nothing
	case raw:
		o.text = append(o.text, byte(r))
	default:
		o.text = utf8.AppendRune(o.text, r)
	}
	for range len(o.text) - before {
		o.src = append(o.src, v.src[i]|mark)
	}
	return n
}

// backslash reads an escape of JSON, Go, Python, JavaScript or YAML: what it stands for and its length, 0 for none.
func backslash(b []byte) (rune, int, uint32) {
	if len(b) < 2 {
		return 0, 0, 0
	}
	switch b[1] {
	case 'n':
		return '\n', 2, 0
	case 't', 'r':
		return ' ', 2, 0
	case '"', '\'', '/', '\\', ' ':
		return rune(b[1]), 2, 0
	case '\n': // a line that goes on
		n := 2
		for n < len(b) && n < 64 && (b[n] == ' ' || b[n] == '\t') {
			n++
		}
		return -1, n, 0
	case 'x':
		r, ok := hexRune(b[2:], 2)
		if !ok {
			return 0, 0, 0
		}
		return r, 4, markJSON
	case 'u':
		r, ok := hexRune(b[2:], 4)
		if !ok {
			return 0, 0, 0
		}
		if r >= 0xD800 && r < 0xDC00 && len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if low, ok := hexRune(b[8:], 4); ok && low >= 0xDC00 && low < 0xE000 {
				return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, 12, markJSON
			}
		}
		return r, 6, markJSON
	}
	return 0, 0, 0
}

func hexRune(b []byte, digits int) (rune, bool) {
	if len(b) < digits {
		return 0, false
	}
	var r rune
	for _, c := range b[:digits] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func percent(b []byte) (rune, int) {
	r, ok := hexRune(b[1:], 2)
	if !ok {
		return 0, 0
	}
	return r, 3
}

const entityBytesMax = 12

// entity reads an HTML entity: what it stands for and its length, 0 for none.
func entity(b []byte) (rune, int) {
	end := 1
	for end < len(b) && end < entityBytesMax && b[end] != ';' {
		if c := b[end]; c != '#' && !isAlnum(c) {
			return 0, 0
		}
		end++
	}
	if end >= len(b) || b[end] != ';' || end == 1 {
		return 0, 0
	}
	name := b[1:end]
	if name[0] != '#' {
		r, ok := namedEntity(string(name))
		if !ok {
			return 0, 0
		}
		return r, end + 1
	}
	base, digits := rune(10), name[1:]
	if len(digits) > 0 && (digits[0] == 'x' || digits[0] == 'X') {
		base, digits = 16, digits[1:]
	}
	if len(digits) == 0 {
		return 0, 0
	}
	var r rune
	for _, c := range digits {
		d, ok := hexDigit(c)
		if !ok || rune(d) >= base {
			return 0, 0
		}
		r = min(r*base+rune(d), utf8.MaxRune+1)
	}
	return r, end + 1
}

func namedEntity(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos", "rsquo", "lsquo":
		return '\'', true
	case "nbsp", "ensp", "emsp", "thinsp", "Tab", "NewLine":
		return ' ', true
	case "zwnj", "zwj", "shy":
		return -1, true
	case "colon":
		return ':', true
	case "period":
		return '.', true
	case "comma":
		return ',', true
	case "excl":
		return '!', true
	case "lowbar":
		return '_', true
	}
	return 0, false
}

func isAlnum(c byte) bool {
	return c|0x20-'a' < 26 || c-'0' < 10 // what is below the first of a range is far above its last
}

const blobBytesMin = 16 // shorter runs are words

// base64s decodes what looks like base64 and holds text.
func base64s(out, v *view) {
	buf, room := make([]byte, 0, 256), make([]byte, 0, 256)
	for i := 0; i < len(v.text); {
		if !isBase64(v.text[i]) {
			i++
			continue
		}
		start, line := i, i
		for i < len(v.text) && isBase64(v.text[i]) {
			i++
		}
		if i-start < blobBytesMin {
			continue // a word
		}
		i, buf = start, buf[:0]
		for i < len(v.text) {
			if c := v.text[i]; isBase64(c) {
				switch c {
				case '-':
					c = '+'
				case '_':
					c = '/'
				}
				buf = append(buf, c)
				i++
			} else if n := lineEnd(v.text[i:]); n > 0 && i-line >= 48 && i+n < len(v.text) && isBase64(v.text[i+n]) {
				i += n
				line = i
			} else {
				break
			}
		}
		room = slices.Grow(room[:0], len(buf))[:len(buf)]
		plain := base64Text(buf, room)
		if slash := bytes.LastIndexByte(buf, '/'); plain == nil && slash > 0 { // the end of a path
			plain = base64Text(buf[slash+1:], room)
		}
		if plain != nil {
			out.add(v, plain, start, i)
		}
	}
}

// base64Text is the text that a run of base64 holds, written to plain, which is as long; nil when it holds none.
func base64Text(run, plain []byte) []byte {
	if len(run) < blobBytesMin {
		return nil
	}
	if len(run)%4 == 1 {
		run = run[:len(run)-1]
	}
	n, err := base64.RawStdEncoding.Decode(plain, run)
	if err != nil || !readable(plain[:n]) {
		return nil
	}
	return plain[:n]
}

func isBase64(c byte) bool { return isAlnum(c) || c == '+' || c == '/' || c == '-' || c == '_' }

func lineEnd(b []byte) int {
	if b[0] == '\n' {
		return 1
	}
	if len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
		return 2
	}
	return 0
}

// hexes decodes runs of hex digits, and pairs of them with one separator in between, that hold text.
func hexes(out, v *view) {
	var buf []byte
	for i := 0; i < len(v.text); {
		if _, ok := hexDigit(v.text[i]); !ok || i > 0 && isAlnum(v.text[i-1]) && v.text[i-1] != 'x' {
			i++
			continue
		}
		start := i
		buf = buf[:0]
		for i < len(v.text) {
			if _, ok := hexDigit(v.text[i]); ok {
				buf = append(buf, v.text[i])
				i++
			} else if len(buf) >= 2 && len(buf)%2 == 0 && isPair(v.text[i:]) {
				i++
			} else {
				break
			}
		}
		if len(buf) < blobBytesMin || len(buf)%2 != 0 {
			continue
		}
		plain := make([]byte, len(buf)/2)
		if _, err := hex.Decode(plain, buf); err == nil && readable(plain) {
			out.add(v, plain, start, i)
		}
	}
}

// isPair says whether a separator and exactly two hex digits follow.
func isPair(b []byte) bool {
	if len(b) < 3 || b[0] != ' ' && b[0] != ':' && b[0] != '-' && b[0] != ',' {
		return false
	}
	_, first := hexDigit(b[1])
	_, second := hexDigit(b[2])
	return first && second && (len(b) == 3 || !isAlnum(b[3]))
}

// add appends what was decoded from v.text[start:end], as a paragraph.
func (o *view) add(v *view, plain []byte, start, end int) {
	for i, c := range plain {
		o.text = append(o.text, c)
		o.src = append(o.src, v.src[start+i*(end-start)/len(plain)]&offsetMask)
	}
	last := v.src[end-1] & offsetMask
	o.text, o.src = append(o.text, '\n', '\n'), append(o.src, last, last)
}

// readable says whether decoded bytes are text: nearly all of it letters, digits, blanks and common punctuation.
func readable(b []byte) bool {
	good, letters := 0, 0
	for i := 0; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			if isAlnum(c) || c == ' ' {
				letters++
			}
			if c >= ' ' && c < 0x7F || c == '\n' || c == '\t' || c == '\r' {
				good++
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r != utf8.RuneError {
			good += n
			letters += n
		}
		i += n
	}
	return len(b) >= 8 && good*20 >= len(b)*19 && letters*10 >= len(b)*6
}

// tagCharacters decodes Unicode tags and variation selectors, which are invisible and can spell a text. A flag is not one.
func tagCharacters(out, v *view) {
	var plain []byte
	first, last := 0, 0
	flush := func() {
		if readable(plain) {
			out.add(v, plain, first, last)
		}
		plain = plain[:0]
	}
	flag := false
	for i := 0; i < len(v.text); {
		if c := v.text[i]; c != 0xF3 && c != 0xEF && c != 0xF0 {
			if c < utf8.RuneSelf {
				flush()
				flag = false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(v.text[i:])
		var c byte
		switch {
		case r == 0x1F3F4:
			flag = true
		case r >= 0xE0020 && r <= 0xE007E:
			c = byte(r - 0xE0000)
		case r >= 0xE0100 && r <= 0xE01EF && r-0xE0100+16 < 0x7F:
			c = byte(r - 0xE0100 + 16)
		}
		if c != 0 && !flag {
			if len(plain) == 0 {
				first = i
			}
			plain, last = append(plain, c), i+n
		}
		i += n
	}
	flush()
}
