package scan

import (
	"unicode/utf8"
)

// token is a word or a sign of the folded text, reduced to what rules and the model look at.
type token struct {
	start, end int32   // in the folded text
	stem       uint32  // hash of the beginning of the word
	classes    class   // what the lexicon says of the word
	prime      uint8   // number of its first class, plus one; 0 for none
	kind       kind    // word, address, number, sign
	flags      context // where it stands
	sentence   int32   // number of its sentence
}

type kind uint8

const (
	kindWord kind = iota
	kindMail
	kindURL
	kindNumber
	kindBlob // a long run without blanks: a key, a digest
	kindSign // a run of punctuation that stands for something
)

// context is where a token stands.
type context uint8

const (
	atStart   context = 1 << iota // of a sentence, line or string
	inQuote                       // quoted inside a sentence
	inCode                        // in a code block or span
	inExample                     // after "for example", or where attacks are being described
	inHidden                      // in a comment or an element that is not shown
	isUpper                       // written in capitals
	inDecoded                     // of a decoded layer or written with escapes or lookalikes
	atColon                       // a colon follows
)

const (
	stemBytes       = 6  // words are told apart by so many letters
	wordBytesMax    = 40 // a longer word is a blob
	quoteTokensMax  = 40 // a longer quotation is not one
	exampleTokens   = 24 // how far "for example" and talk of attacks reach
	codeTokensMax   = 4000
	disguiseMarks   = markJSON | markEntity | markURL | markInvisble | markLookalik
	concealingMarks = markHidden | markComment
)

// tokenizer cuts folded text into tokens.
type tokenizer struct {
	s        *Scanner
	v        *view
	out      []token
	fresh    bool // the next word begins a sentence
	meta     int  // tokens until which talk is of examples or attacks
	fence    int  // token at which a code block began, -1 outside
	span     int  // the same for `code`
	quote    int  // token at which a quotation began, -1 outside
	decoded  bool
	looked   int // bytes looked at for mail addresses
	noMail   int // no mail address begins before this
	sentence int32
}

func (s *Scanner) tokens(out []token, v *view) ([]token, int) {
	t := &tokenizer{s: s, v: v, out: out, fresh: true, meta: -1, fence: -1, span: -1, quote: -1, decoded: v.layer != ""}
	for i := 0; i < len(v.text); {
		c := v.text[i]
		switch {
		case isAlnum(c):
			i = t.word(i)
		case c >= utf8.RuneSelf:
			i = t.wide(i)
		default:
			i = t.sign(i)
		}
	}
	return t.out, t.looked
}

func (t *tokenizer) add(k token) *token {
	n := len(t.out)
	k.sentence = t.sentence
	if t.fresh {
		k.flags |= atStart
		t.fresh = false
	}
	if n < t.meta {
		k.flags |= inExample
	}
	if t.fence >= 0 && n-t.fence < codeTokensMax || t.span >= 0 && n-t.span < quoteTokensMax {
		k.flags |= inCode
	}
	src := t.v.src[k.start]
	if src&concealingMarks != 0 {
		k.flags |= inHidden
	}
	if t.decoded || src&disguiseMarks != 0 || t.v.src[k.end-1]&disguiseMarks != 0 {
		k.flags |= inDecoded
	}
	if k.end-k.start >= 3 && src&markUpper != 0 && t.v.src[k.end-1]&markUpper != 0 {
		k.flags |= isUpper
	}
	t.out = append(t.out, k)
	return &t.out[n]
}

// word reads a word, a number, a mail address or a URL, and returns where it ends.
func (t *tokenizer) word(i int) int {
	b := t.v.text
	var buf [wordBytesMax]byte
	n, digits, end := 0, 0, i
	for end < len(b) {
		c := b[end]
		if isAlnum(c) {
			if n < len(buf) {
				buf[n] = c
			}
			n++
			if c <= '9' {
				digits++
			}
		} else if c == '\'' && end+1 < len(b) && isLetter(b[end+1]) {
			end++
			continue
		} else {
			break
		}
		end++
	}
	if end < len(b) {
		switch {
		case b[end] == ':' && end-i <= 5 && end+2 < len(b) && b[end+1] == '/' && b[end+2] == '/', b[end] == '.' && n == 3 && string(buf[:3]) == "www":
			return t.url(i, end)
		case b[end] == '@' || b[end] == '.' || b[end] == '-' || b[end] == '_' || b[end] == '+':
			if stop := t.mailEnd(i, end); stop > 0 {
				t.add(token{start: int32(i), end: int32(stop), stem: uint32(kindMail), kind: kindMail, classes: address, prime: primeOf(address)})
				return stop
			}
		}
	}
	k := token{start: int32(i), end: int32(end)}
	switch {
	case n > wordBytesMax || n > 20 && digits > 2:
		k.kind, k.stem = kindBlob, uint32(kindBlob)
	case digits == n:
		k.kind, k.stem = kindNumber, uint32(kindNumber)<<8|uint32(min(n, 12))
	default:
		t.lookup(&k, buf[:n], digits > 0)
	}
	t.add(k)
	if k.classes&exampling != 0 {
		t.meta = len(t.out) + exampleTokens
	}
	return end
}

// lookup gives a word its stem and its classes; digits in a word may stand for letters.
func (t *tokenizer) lookup(k *token, text []byte, mixed bool) {
	var buf [wordBytesMax]byte
	w := t.s.lexicon.find(text)
	if w == nil && mixed {
		plain, most, inside := unleet(buf[:0], text)
		if w = t.s.lexicon.find(plain); w != nil && inside && len(text) >= leetBytesMin {
			k.flags |= inDecoded
		}
		if w != nil || most {
			text = plain
		}
	}
	if w != nil {
		k.classes, k.prime = w.classes, w.prime
	}
	k.stem = hashBytes(text[:min(len(text), stemBytes)])
}

const leetBytesMin = 4 // shorter words with digits are names of things

// unleet writes letters for the digits of a word that stand for some, and says whether most of it are letters and whether a digit is
// in front of one, as in us3r and not in user3. A word with other digits is a number, a version or a key.
func unleet(out, text []byte) (plain []byte, most, inside bool) {
	letters, before := 0, false
	for _, c := range text {
		switch c {
		case '0':
			c = 'o'
		case '1':
			c = 'i'
		case '3':
			c = 'e'
		case '4':
			c = 'a'
		case '5':
			c = 's'
		case '7':
			c = 't'
		case '2', '6', '8', '9':
			return nil, false, false
		default:
			letters++
			inside = inside || before
			before = false
			out = append(out, c)
			continue
		}
		before = true
		out = append(out, c)
	}
	return out, 2*letters >= len(text), inside
}

func hashBytes(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// url reads a URL up to its query, whose words are words.
func (t *tokenizer) url(i, end int) int {
	b := t.v.text
	for end < len(b) && b[end] > ' ' && b[end] != '?' && b[end] != '"' && b[end] != '\'' && b[end] != ')' && b[end] != '>' && b[end] != '<' && b[end] != '`' && b[end] != ']' && b[end] != '{' && b[end] != ',' && b[end] != '\\' {
		end++
	}
	t.add(token{start: int32(i), end: int32(end), stem: uint32(kindURL), kind: kindURL, classes: address, prime: primeOf(address)})
	return end
}

const mailBytesMax = 120

// mailEnd is where a mail address that begins at i ends; 0 when there is none.
func (t *tokenizer) mailEnd(i, at int) int {
	if i < t.noMail {
		return 0
	}
	b := t.v.text
	for at < len(b) && at-i < mailBytesMax && (isAlnum(b[at]) || b[at] == '.' || b[at] == '-' || b[at] == '_' || b[at] == '+') {
		at++
	}
	t.looked += at - i
	if at >= len(b) || b[at] != '@' {
		t.noMail = at
		return 0
	}
	end, dots := at+1, 0
	for end < len(b) && end-at < mailBytesMax && (isAlnum(b[end]) || b[end] == '-' || b[end] == '.' && end+1 < len(b) && isAlnum(b[end+1])) {
		if b[end] == '.' {
			dots++
		}
		end++
	}
	t.looked += end - at
	if dots == 0 {
		t.noMail = at
		return 0
	}
	return end
}

// wide reads a word in letters that are not Latin; of scripts without blanks, one character.
func (t *tokenizer) wide(i int) int {
	b := t.v.text
	r, n := utf8.DecodeRune(b[i:])
	end := i + n
	if !isScriptWithoutBlanks(r) {
		for end < len(b) && end-i < 4*wordBytesMax {
			if b[end] < utf8.RuneSelf {
				if !isAlnum(b[end]) {
					break
				}
				end++
				continue
			}
			r, n := utf8.DecodeRune(b[end:])
			if isScriptWithoutBlanks(r) || r >= 0x2000 && r < 0x2E80 || r >= 0x1F000 {
				break
			}
			end += n
		}
	}
	k := token{start: int32(i), end: int32(end)}
	text := b[i:end]
	w := t.s.lexicon.find(text)
	if w == nil && isScriptWithoutBlanks(r) && end < len(b) && b[end] >= utf8.RuneSelf {
		_, m := utf8.DecodeRune(b[end:])
		w = t.s.lexicon.find(b[i : end+m])
	}
	if w != nil {
		k.classes, k.prime = w.classes, w.prime
	}
	k.stem = hashBytes(text[:min(len(text), 2*stemBytes)])
	t.add(k)
	return end
}

func isScriptWithoutBlanks(r rune) bool {
	return r >= 0x3040 && r <= 0x30FF || r >= 0x3400 && r <= 0x9FFF || r >= 0xAC00 && r <= 0xD7AF || r >= 0x0E00 && r <= 0x0E7F
}

// sign reads punctuation: most of it only ends sentences; some runs are tokens.
func (t *tokenizer) sign(i int) int {
	b := t.v.text
	c := b[i]
	end := i + 1
	for end < len(b) && b[end] == c && end-i < 64 {
		end++
	}
	run := end - i
	switch c {
	case '\n', '.', '!', '?', ':', ';', '>', '|', '*', '#', '=', '~', '(', '[', '{', ']', '}', ')':
		t.fresh = true
	case '-':
		t.fresh = t.fresh || run > 1
	}
	if c == '\n' && run > 1 || (c == '.' || c == '!' || c == '?') && (end == len(b) || b[end] <= ' ' || b[end] == '"' || b[end] == '\'') {
		t.sentence++
	}
	if n := len(t.out); c == ':' && n > 0 && int(t.out[n-1].end) == i {
		t.out[n-1].flags |= atColon
	}
	switch {
	case c == '`':
		t.backticks(run)
	case c == '"', c == '\'':
		t.quotation(i)
	case c == '\n':
		t.span = -1
		if run > 1 {
			t.quote = -1
		}
	case (c == '#' || c == '=' || c == '*' || c == '-' || c == '~') && run >= 3, c == '!' && run >= 2:
		t.signToken(i, end, uint32(c))
	case (c == '<' || c == '[') && run <= 2 && end < len(b) && (isLetter(b[end]) || b[end] == '|' || b[end] == '/' || b[end] == '!'):
		t.signToken(i, end, uint32(c))
		t.fresh = true
	case c == '|' && i > 0 && b[i-1] == '<':
		t.signToken(i, end, 1)
		t.fresh = true
	}
	return end
}

func (t *tokenizer) signToken(i, end int, what uint32) {
	fresh := t.fresh
	t.add(token{start: int32(i), end: int32(end), kind: kindSign, stem: uint32(kindSign)<<8 | what})
	t.fresh = fresh
}

func (t *tokenizer) backticks(run int) {
	n := len(t.out)
	switch {
	case run >= 3 && t.fence >= 0:
		t.fence = -1
	case run >= 3:
		t.fence, t.span = n, -1
	case t.span >= 0:
		t.span = -1
	default:
		t.span = n
	}
}

// quotation opens or closes a quotation inside a sentence. A string of JSON is none: before it stands a colon, a bracket or a
// comma. What was quoted is marked when it closes, if it was short.
func (t *tokenizer) quotation(i int) {
	if t.quote >= 0 {
		if n := len(t.out); n-t.quote <= quoteTokensMax {
			for k := t.quote; k < n; k++ {
				t.out[k].flags |= inQuote
			}
		}
		t.quote = -1
		t.fresh = true
		return
	}
	t.fresh = true
	b, k := t.v.text, i-1
	for k >= 0 && i-k < 4 && b[k] == ' ' {
		k--
	}
	if k >= 0 && k < i-1 && (isAlnum(b[k]) || b[k] == ')') {
		t.quote = len(t.out)
	}
}
