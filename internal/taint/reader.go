package taint

import "strings"

// reader goes over a text word by word: a word ends at a blank, a quote, a bracket or a backslash.
type reader struct {
	text string
	at   int
	out  []Identifier
}

func (r *reader) next() {
	for r.at < len(r.text) && ends(r.text[r.at]) {
		r.at += r.escape()
	}
	start := r.at
	for r.at < len(r.text) && !ends(r.text[r.at]) {
		r.at++
	}
	end := r.at
	for end > start && strings.IndexByte(".,;:!?*", r.text[end-1]) >= 0 {
		end--
	}
	for start < end && strings.IndexByte(".,;:!?*", r.text[start]) >= 0 && r.text[start] != '.' {
		start++
	}
	if end > start {
		r.word(start, end)
	}
}

// escape is the length of the end of a word: of an escape, as \n, two bytes.
func (r *reader) escape() int {
	if r.text[r.at] == '\\' && r.at+1 < len(r.text) && strings.IndexByte("nrt\"'\\/", r.text[r.at+1]) >= 0 {
		return 2
	}
	return 1
}

func ends(c byte) bool {
	switch c {
	case '"', '\'', '`', '<', '>', '(', ')', '[', ']', '{', '}', '|', '\\':
		return true
	default:
		return c <= ' '
	}
}

func (r *reader) add(kind Kind, value string, start, end int) {
	if value == "" || len(r.out) >= IdentifiersMax {
		return
	}
	r.out = append(r.out, Identifier{kind, value[:min(len(value), ValueBytesMax)], start, end})
}

// word finds what a word is.
func (r *reader) word(start, end int) {
	w := r.text[start:end]
	if !marked(w) { // most words: a number or a code, if anything
		r.code(w, start, end)
		return
	}
	if k := strings.Index(w, "://"); k > 0 && k < 12 {
		r.url(w[k+3:], start, end)
		return
	}
	if strings.ContainsAny(w, ",;") {
		r.list(start, end)
		return
	}
	if k := strings.IndexByte(w, '@'); k > 0 && !strings.Contains(w[:k], "=") {
		r.mail(w, start, end)
		return
	}
	if k := strings.LastIndexByte(w, '='); k >= 0 { // name=value
		if k+1 < len(w) {
			r.word(start+k+1, end)
		}
		return
	}
	host, _, _ := strings.Cut(w, "/")
	switch {
	case domain(host):
		r.url(w, start, end)
	case strings.Count(w, "/") >= 1 && isPath(w):
		r.add(Path, w, start, end)
	case fileName(w):
		r.add(Path, w, start, end)
	default:
		r.code(w, start, end)
	}
}

// marked says whether a word has a sign of something else than a number or a code.
func marked(w string) bool {
	for i := range len(w) {
		switch w[i] {
		case '/', '.', '@', ',', ';', '=':
			return true
		}
	}
	return false
}

// list reads the words of a list without blanks.
func (r *reader) list(start, end int) {
	from := start
	for k := start; k <= end; k++ {
		if k == end || r.text[k] == ',' || r.text[k] == ';' {
			if k > from {
				r.word(from, k)
			}
			from = k + 1
		}
	}
}

// url adds a URL without its scheme, and its host.
func (r *reader) url(rest string, start, end int) {
	cut := strings.IndexAny(rest, "/?#")
	if cut < 0 {
		cut = len(rest)
	}
	host := rest[:cut]
	if k := strings.LastIndexByte(host, '@'); k >= 0 {
		host = host[k+1:]
	}
	bare, _, _ := strings.Cut(host, ":")
	name := strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(bare), "www."), ".")
	tail := strings.TrimRight(rest[cut:], "/")
	if tail != "" {
		r.add(URL, strings.TrimPrefix(strings.ToLower(host), "www.")+tail, start, end)
	}
	r.add(Host, name, start, end)
}

func (r *reader) mail(w string, start, end int) {
	w = strings.ToLower(strings.TrimPrefix(w, "mailto:"))
	k := strings.LastIndexByte(w, '@')
	local := w[:k]
	if c := strings.LastIndexAny(local, ":,;/"); c >= 0 {
		local = local[c+1:]
	}
	host := w[k+1:]
	if c := strings.IndexAny(host, ",;:/?&"); c >= 0 {
		host = host[:c]
	}
	if local == "" || !domain(host) {
		r.code(w, start, end)
		return
	}
	r.add(Mail, local+"@"+host, start, end)
	r.add(Host, host, start, end)
}

// domain says whether a word is a name of a host: labels with dots between, the last one of letters.
func domain(w string) bool {
	last := strings.LastIndexByte(w, '.')
	if last <= 0 || len(w)-last < 3 || len(w) > 253 || strings.Contains(w, "..") {
		return false
	}
	for i := range len(w) {
		c := w[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case (c >= '0' && c <= '9' || c == '-' || c == '_') && i < last:
		case c == '.':
		default:
			return false
		}
	}
	return !fileEnding(strings.ToLower(w[last+1:])) || strings.HasPrefix(strings.ToLower(w), "www.")
}

// fileEnding says whether what is behind the last dot is of a file rather than of a domain.
func fileEnding(s string) bool {
	switch s {
	case "txt", "pdf", "doc", "docx", "xls", "xlsx", "csv", "json", "xml", "yaml", "yml", "md", "html", "htm", "js", "ts", "py", "go", "java", "rs", "rb", "php", "sql", "log", "png", "jpg", "jpeg", "gif", "svg", "zip", "gz", "tar", "exe", "sh", "env", "conf", "cfg", "ini", "toml", "pem", "key", "db", "bak", "ppt", "pptx", "cpp", "css", "mp3", "mp4", "eml", "ics":
		return true
	}
	return false
}

func fileName(w string) bool {
	k := strings.LastIndexByte(w, '.')
	return k > 0 && k < len(w)-1 && fileEnding(strings.ToLower(w[k+1:]))
}

// isPath says whether a word with a slash is the path of a file and not a date, a fraction or two words.
func isPath(w string) bool {
	return w[0] == '/' && len(w) > 3 || strings.HasPrefix(w, "~/") || strings.HasPrefix(w, "./") || strings.HasPrefix(w, "../") || strings.Count(w, "/") >= 2 && hasLetter(w) || fileName(w)
}

func hasLetter(w string) bool {
	return strings.IndexFunc(w, func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }) >= 0
}

// code adds a number or a code of letters and digits. Groups of an IBAN or of a number that are written apart are joined.
func (r *reader) code(w string, start, end int) {
	plain, digits, letters := compact(w)
	if plain == "" {
		return
	}
	for end < len(r.text) && r.text[end] == ' ' && digits >= 2 && (letters == 0 || letters <= 4 && digits+letters == len(plain)) {
		stop := end + 1
		for stop < len(r.text) && stop-end < 6 && r.text[stop] >= '0' && r.text[stop] <= '9' {
			stop++
		}
		if stop-end < 3 || stop-end > 5 || stop < len(r.text) && !ends(r.text[stop]) && strings.IndexByte(".,;:!?", r.text[stop]) < 0 || len(plain) >= ValueBytesMax {
			break
		}
		plain += r.text[end+1 : stop]
		digits += stop - end - 1
		end = stop
	}
	r.at = max(r.at, end)
	switch {
	case digits < 2 || digits+letters < digitsMin && (letters == 0 || digits < 3):
	case letters == 0:
		r.add(Number, plain, start, end)
	default:
		r.add(Account, plain, start, end)
	}
}

// wordBytesMax is the longest word that is taken for a number or a code.
const wordBytesMax = 64

// compact is a word in capitals without dashes, dots and signs, with how many digits and letters it has; empty when it holds
// anything else.
func compact(w string) (plain string, digits, letters int) {
	if len(w) > wordBytesMax {
		return "", 0, 0
	}
	var room [wordBytesMax]byte
	out := room[:0]
	for i := range len(w) {
		c := w[i]
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z':
			c -= 0x20
			letters++
		case c >= 'A' && c <= 'Z':
			letters++
		case c == '-' || c == '.' || c == '_' || c == '#' || c == '+' || c == '$' || c == '/' || c == ':':
			continue
		default:
			return "", 0, 0
		}
		out = append(out, c)
	}
	return string(out), digits, letters
}
