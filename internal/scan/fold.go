package scan

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// folder writes a view in the one form that the rules and the model read: lower case, compatibility forms and accents undone,
// lookalike letters of other scripts made Latin in words that have Latin ones, invisible characters and HTML tags gone.
type folder struct {
	in   *view
	out  *view
	mark uint32 // of what is being written: comment, hidden

	wordAt              int // where the present word began in out
	latin, alike, other int // letters of the present word

	hiddenUntil []byte // name of the element whose end makes text visible again
	noComment   bool   // no comment ends after here
	invisible   int    // invisible characters between Latin letters
	invisibleAt int    // where in in
	pending     uint32 // marks for the next byte
	looked      int    // bytes looked at ahead of where it writes
}

func fold(m *scratch, v *view) *folder {
	f := &m.folder
	*f = folder{in: v, out: m.view(len(v.text) + 16)}
	f.out.layer = v.layer
	for i := 0; i < len(v.text); {
		c := v.text[i]
		switch {
		case c == '<':
			i += f.tag(i)
		case c == '-' && f.mark&markComment != 0 && bytes.HasPrefix(v.text[i:], []byte("-->")):
			f.mark &^= markComment
			f.put('\n', i)
			i += 3
		case c < utf8.RuneSelf:
			i = f.run(i)
		default:
			i += f.wide(i)
		}
	}
	f.endWord()
	return f
}

// run writes ASCII up to what it has to look at closer: a tag, the end of a comment or a character that is not ASCII.
func (f *folder) run(i int) int {
	if f.alike > 0 || f.pending != 0 || f.mark != 0 {
		f.ascii(f.in.text[i], i)
		return i + 1
	}
	in, from := f.in.text[i:], f.in.src[i:]
	at := len(f.out.text)
	f.out.text, f.out.src = slices.Grow(f.out.text, len(in)), slices.Grow(f.out.src, len(in))
	text, src := f.out.text[at:at+len(in)], f.out.src[at:at+len(in)]
	n, word, latin := 0, f.wordAt-at, f.latin
	for ; n < len(in) && in[n] < utf8.RuneSelf && in[n] != '<'; n++ {
		c, s := in[n], from[n]
		switch {
		case c >= 'a' && c <= 'z':
			latin++
		case c >= 'A' && c <= 'Z':
			latin++
			s |= markUpper
			c |= 0x20
		case c >= '0' && c <= '9' || c == '\'':
		default:
			latin, word = 0, n+1
			f.other = 0
		}
		text[n], src[n] = c, s
	}
	f.out.text, f.out.src = f.out.text[:at+n], f.out.src[:at+n]
	f.wordAt, f.latin = at+word, latin
	return i + n
}

func (f *folder) put(c byte, at int) {
	f.out.text = append(f.out.text, c)
	f.out.src = append(f.out.src, f.in.src[at]|f.mark|f.pending)
	f.pending = 0
}

func (f *folder) ascii(c byte, at int) {
	switch {
	case c >= 'a' && c <= 'z':
		f.latin++
	case c >= 'A' && c <= 'Z':
		f.latin++
		f.pending |= markUpper
		c |= 0x20
	case c >= '0' && c <= '9':
	case c == '\'':
	default:
		f.endWord()
		f.put(c, at)
		f.wordAt = len(f.out.text)
		return
	}
	f.put(c, at)
}

// endWord makes lookalikes Latin in a word that mixes them with Latin letters.
func (f *folder) endWord() {
	if f.alike > 0 && f.latin > 0 && f.other == 0 {
		to := f.wordAt
		for i := f.wordAt; i < len(f.out.text); {
			r, n := utf8.DecodeRune(f.out.text[i:])
			src := f.out.src[i]
			if l, ok := lookalike(r); ok {
				f.out.text[to], f.out.src[to] = l, src|markLookalik
				to++
			} else {
				copy(f.out.text[to:], f.out.text[i:i+n])
				copy(f.out.src[to:], f.out.src[i:i+n])
				to += n
			}
			i += n
		}
		f.out.text, f.out.src = f.out.text[:to], f.out.src[:to]
	}
	f.latin, f.alike, f.other = 0, 0, 0
	f.wordAt = len(f.out.text)
}

// wide folds one character that is not ASCII and returns its length.
func (f *folder) wide(at int) int {
	r, n := utf8.DecodeRune(f.in.text[at:])
	if r == utf8.RuneError && n <= 1 {
		f.endWord()
		f.put(' ', at)
		f.wordAt = len(f.out.text)
		return 1
	}
	if isInvisible(r) {
		if k := len(f.out.text); k > 0 && isLetter(f.out.text[k-1]) && at+n < len(f.in.text) && isLetter(f.in.text[at+n]|0x20) {
			if f.invisible == 0 {
				f.invisibleAt = k - 1
			}
			f.invisible++
			f.pending |= markInvisble
		}
		return n
	}
	if c, ok := plainForm(r); ok {
		for _, b := range []byte(c) {
			f.ascii(b, at)
		}
		return n
	}
	d := norm.NFKD.Properties(f.in.text[at : at+n]).Decomposition()
	if d == nil {
		f.letter(r, at)
		return n
	}
	for i := 0; i < len(d); {
		r, n := utf8.DecodeRune(d[i:])
		if r < utf8.RuneSelf {
			f.ascii(byte(r), at)
		} else if !isInvisible(r) {
			f.letter(r, at)
		}
		i += n
	}
	return n
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }

// letter writes a character that has no ASCII form.
func (f *folder) letter(r rune, at int) {
	r = unicode.ToLower(r)
	switch _, alike := lookalike(r); {
	case alike:
		f.alike++
	case unicode.IsLetter(r):
		f.other++
	case unicode.Is(unicode.Mn, r):
		return
	default:
		f.endWord()
	}
	src := f.in.src[at] | f.mark
	f.out.text = utf8.AppendRune(f.out.text, r)
	for len(f.out.src) < len(f.out.text) {
		f.out.src = append(f.out.src, src)
	}
}

// isInvisible says whether a character shows nothing: zero-width, joiners, direction, selectors, tags, fillers, combining marks.
func isInvisible(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x61C, r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5, r == 0x3164, r == 0xFEFF, r == 0xFFA0:
		return true
	case r >= 0x180B && r <= 0x180F, r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2060 && r <= 0x206F:
		return true
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0000 && r <= 0xE0FFF, r >= 0x300 && r <= 0x36F:
		return true
	}
	return false
}

// plainForm is the ASCII form of typographic characters and of letters that compatibility forms leave alone.
func plainForm(r rune) (string, bool) {
	switch r {
	case '‘', '’', '‛', 'ʼ', '′':
		return "'", true
	case '“', '”', '„', '‟', '«', '»', '「', '」', '『', '』':
		return "\"", true
	case '–', '—', '‐', '‑', '‒', '―', '−':
		return "-", true
	case '。', '！':
		return ".", true
	case '，', '、':
		return ",", true
	case '：':
		return ":", true
	case '•', '●', '▪', '◦', '·':
		return "*", true
	case 'ß':
		return "ss", true
	}
	if r >= 0x300 && (r < 0x1D00 || r > 0x1DBF) && r>>8 != 0xA7 {
		return "", false
	}
	if i := strings.IndexRune(oddLatin, r); i >= 0 {
		k := utf8.RuneCountInString(oddLatin[:i])
		return plainLatin[k : k+1], true
	}
	return "", false
}

// oddLatin are Latin letters without a decomposition and the small capitals; plainLatin are what they look like, in order.
const (
	oddLatin   = "ıłøđħŧƒɑɡɩʟᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢꜱꜰ"
	plainLatin = "ilodhtfagilabcdeghijklmnoprtuvwyzsf"
)

// lookalike is the Latin letter that a Cyrillic, Greek or Armenian one looks like.
func lookalike(r rune) (byte, bool) {
	if r < 0x370 || r > 0x586 {
		return 0, false
	}
	switch r {
	case 'а', 'α':
		return 'a', true
	case 'в', 'β':
		return 'b', true
	case 'с', 'ϲ':
		return 'c', true
	case 'ԁ':
		return 'd', true
	case 'е', 'ё', 'ε', 'є':
		return 'e', true
	case 'ɡ':
		return 'g', true
	case 'һ', 'н', 'η', 'հ':
		return 'h', true
	case 'і', 'ї', 'ι', 'ӏ':
		return 'i', true
	case 'ј':
		return 'j', true
	case 'к', 'κ':
		return 'k', true
	case 'м', 'μ':
		return 'm', true
	case 'п', 'ո', 'ν':
		return 'n', true
	case 'о', 'ο', 'օ', 'σ', 'θ':
		return 'o', true
	case 'р', 'ρ':
		return 'p', true
	case 'ԛ', 'գ':
		return 'q', true
	case 'г':
		return 'r', true
	case 'ѕ':
		return 's', true
	case 'т', 'τ':
		return 't', true
	case 'υ', 'ս', 'ц':
		return 'u', true
	case 'ѵ':
		return 'v', true
	case 'ѡ', 'ԝ', 'ω', 'ш':
		return 'w', true
	case 'х', 'χ':
		return 'x', true
	case 'у', 'γ':
		return 'y', true
	case 'ᴢ', 'ζ':
		return 'z', true
	}
	return 0, false
}

const tagBytesMax = 4096 // a longer one is not a tag

// tag reads what begins with '<' and returns its length: a comment's beginning, an HTML tag, or the one character.
func (f *folder) tag(at int) int {
	rest := f.in.text[at:]
	if f.mark&markComment != 0 {
		f.ascii('<', at)
		return 1
	}
	if bytes.HasPrefix(rest, []byte("<!--")) && !f.noComment {
		shut := bytes.Index(rest, []byte("-->"))
		if shut < 0 {
			shut, f.noComment = len(rest), true
		}
		f.looked += shut
		if !f.noComment {
			f.endWord()
			f.mark |= markComment
			f.put('\n', at)
			return 4
		}
	}
	end := 1
	for end < len(rest) && end < tagBytesMax && rest[end] != '>' && rest[end] != '<' {
		end++
	}
	f.looked += end
	if end == len(rest) || rest[end] != '>' {
		f.ascii('<', at)
		return 1
	}
	name, closing := tagName(rest[1:end])
	block, known := htmlTag(name)
	if !known {
		f.ascii('<', at)
		return 1
	}
	if closing && f.hiddenUntil != nil && bytes.EqualFold(f.hiddenUntil, name) {
		f.hiddenUntil = nil
		f.mark &^= markHidden
	}
	if block {
		f.endWord()
		f.put('\n', at)
		f.wordAt = len(f.out.text)
	}
	if !closing {
		f.attributes(rest[1:end], at+1)
		if isHiding(rest[1:end]) {
			f.hiddenUntil = name
			f.mark |= markHidden
		}
	}
	return end + 1
}

func tagName(tag []byte) (name []byte, closing bool) {
	if len(tag) > 0 && tag[0] == '/' {
		tag, closing = tag[1:], true
	}
	n := 0
	for n < len(tag) && isAlnum(tag[n]) {
		n++
	}
	if n < len(tag) && tag[n] != ' ' && tag[n] != '\n' && tag[n] != '\t' && tag[n] != '/' {
		return nil, closing
	}
	return tag[:n], closing
}

// htmlTag says whether a name is of an HTML element, and whether the element begins a line.
func htmlTag(name []byte) (block, known bool) {
	if len(name) == 0 || len(name) > 10 {
		return false, false
	}
	switch string(bytes.ToLower(name)) {
	case "b", "i", "u", "s", "a", "em", "strong", "span", "font", "small", "big", "sub", "sup", "mark", "img", "wbr", "abbr", "label", "input", "svg", "path", "tt", "kbd", "ins", "del":
		return false, true
	case "p", "br", "div", "td", "th", "tr", "li", "ul", "ol", "table", "tbody", "thead", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "html", "head", "body", "title", "section", "article", "header", "footer",
		"main", "nav", "aside", "form", "button", "center", "blockquote", "pre", "style", "script", "meta", "link", "iframe", "textarea", "dl", "dt", "dd", "figure", "option", "select":
		return true, true
	}
	return false, false
}

// attributes keeps the values that hold prose: people read them, or programs do.
func (f *folder) attributes(tag []byte, at int) {
	for i := 0; i < len(tag); i++ {
		q := tag[i]
		if q != '"' && q != '\'' || i == 0 || tag[i-1] != '=' {
			continue
		}
		end := bytes.IndexByte(tag[i+1:], q)
		if end < 0 {
			return
		}
		value := tag[i+1 : i+1+end]
		if bytes.Count(value, []byte(" ")) >= 3 && !bytes.ContainsAny(value, ":;{}") {
			f.endWord()
			f.put('\n', at+i)
			for k, c := range value {
				if c < utf8.RuneSelf {
					f.ascii(c, at+i+1+k)
				}
			}
			f.endWord()
			f.put('\n', at+i+end)
			f.wordAt = len(f.out.text)
		}
		i += end + 1
	}
}

// isHiding says whether a tag's style keeps a browser from showing its element.
func isHiding(tag []byte) bool {
	if !bytes.ContainsAny(tag, ":") && !bytes.Contains(tag, []byte("hidden")) {
		return false
	}
	flat := bytes.ToLower(bytes.ReplaceAll(tag, []byte(" "), nil))
	for _, s := range []string{"display:none", "visibility:hidden", "font-size:0", "font-size:1px", "opacity:0;", "opacity:0\"", "color:white", "color:#fff", "color:transparent", "left:-9999", "aria-hidden=\"true\"", "max-height:0"} {
		if bytes.Contains(flat, []byte(s)) {
			return true
		}
	}
	return false
}
