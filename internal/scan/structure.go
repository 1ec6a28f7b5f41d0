package scan

import (
	"bytes"
	"strings"
)

// Rules of structure: what no writer of honest text does, whatever the words are.
const (
	ruleInvisible  = "invisible-text"     // text spelt in Unicode tags or selectors
	ruleZeroWidth  = "zero-width-letters" // invisible characters inside words
	ruleRoleToken  = "role-token"         // the tokens that separate roles in a model's prompt
	ruleImageExfil = "image-exfiltration" // a markdown image whose address is to be filled with data
	ruleLinkExfil  = "link-exfiltration"  // the same for a link
	ruleHidden     = "hidden-order"       // a comment or a hidden element that tells a model what to do
	ruleDisguised  = "disguised-order"    // an encoded order
)

func structures() []string {
	return []string{ruleInvisible, ruleZeroWidth, ruleRoleToken, ruleImageExfil, ruleLinkExfil, ruleHidden, ruleDisguised}
}

const zeroWidthMin = 3 // fewer are accidents of copying

// structure finds what is wrong with the form of a text.
func structure(out []hit, f *folder, tokens []token) []hit {
	v, hits, most := f.out, out, len(out)+hitsMax
	add := func(number, from, to, token int, guarded bool) {
		if to > from && len(out) < most {
			out = append(out, hit{id: structures()[number], number: number, from: from, to: to, token: token, structural: true, guarded: guarded})
		}
	}
	if strings.HasSuffix(v.layer, "tags") {
		add(0, 0, len(v.text), -1, false)
	}
	if f.invisible >= zeroWidthMin {
		at := min(f.invisibleAt, len(v.text)-1)
		add(1, at, min(at+64, len(v.text)), -1, false)
	}
	for i, k := range tokens {
		if k.kind == kindSign && isRole(v.text[k.start:]) {
			add(2, int(k.start), min(int(k.start)+16, len(v.text)), i, k.flags&(inCode|inQuote|inExample) != 0)
		}
		if k.kind == kindURL {
			if number := exfiltration(v.text, int(k.start), int(k.end)); number > 0 {
				add(number, int(k.start), int(k.end), i, k.flags&(inCode|inExample) != 0)
			}
		}
	}
	for _, h := range hits {
		flags := tokens[h.token].flags
		if flags&inHidden != 0 {
			add(5, h.from, h.to, h.token, h.guarded)
		}
		if flags&inDecoded != 0 {
			add(6, h.from, h.to, h.token, h.guarded)
		}
	}
	return out
}

// isRole says whether text begins with a token that separates roles.
func isRole(b []byte) bool {
	for _, s := range []string{"<|im_start|>", "<|im_end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|start_header_id|>", "<|eot_id|>", "<|endoftext|>", "<|end|>", "<|endofprompt|>", "<<sys>>", "[inst]", "[/inst]", "<start_of_turn>", "<end_of_turn>", "<|channel|>", "<|message|>"} {
		if bytes.HasPrefix(b, []byte(s)) {
			return true
		}
	}
	return false
}

const addressBytesMax = 512

// exfiltration says whether a URL is the address of a markdown image (3) or link (4) whose query is to be filled in with data:
// it has a placeholder where a value should be.
func exfiltration(b []byte, start, end int) int {
	if start < 2 || b[start-1] != '(' || b[start-2] != ']' {
		return 0
	}
	stop := min(len(b), start+addressBytesMax)
	if n := bytes.IndexAny(b[start:stop], ")\n"); n >= 0 {
		stop = start + n
	}
	if !placeholder(b[start:max(stop, end)]) {
		return 0
	}
	for k := start - 3; k >= 0 && k > start-200 && b[k] != '\n'; k-- {
		if b[k] == '[' {
			if k > 0 && b[k-1] == '!' {
				return 3
			}
			break
		}
	}
	return 4
}

// placeholder says whether an address has a part in brackets, as {data}, <secret> or [summary], that tells to fill it in.
func placeholder(b []byte) bool {
	open := bytes.IndexAny(b, "{[<")
	if open < 0 || open < 8 {
		return false
	}
	rest := b[open+1:]
	shut := bytes.IndexAny(rest, "}]>")
	if shut < 3 {
		return false
	}
	for _, s := range []string{"data", "secret", "key", "token", "password", "summary", "content", "message", "history", "conversation", "chat", "email", "info", "user", "prompt", "context", "result", "answer", "insert", "base64", "encoded"} {
		if bytes.Contains(rest[:shut], []byte(s)) {
			return true
		}
	}
	return false
}
