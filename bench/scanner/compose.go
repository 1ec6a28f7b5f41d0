//go:build linux

package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// sample is a text to train or judge on. The payload of an attack lies from start to end.
type sample struct {
	source     string // of the attack, or of the harmless text
	family     string // of the wrapper, "" for none
	carrier    string // source of the text around it
	held       bool   // the wrapper is one that is kept out
	disguised  bool   // harmless, and encoded for training: not calibrated on
	text       string
	start, end int // 0, 0 for harmless text
	// where the order is whose words are not to be learnt; 0, 0 for nowhere
	hideStart, hideEnd int
}

func (s sample) attack() bool { return s.end > s.start }

const goalMark = "\x05"

// wrap puts an order into a wrapper.
func wrap(r *rand.Rand, w wrapper, order string) string {
	s := slots()
	s["goal"] = []string{goalMark}
	out := expand(r, w.templates[r.IntN(len(w.templates))], s)
	return strings.ReplaceAll(out, goalMark, order)
}

// passage cuts a stretch of at most size bytes out of a text, from a line's beginning where there is one.
func passage(r *rand.Rand, text string, size int) string {
	if len(text) <= size {
		return text
	}
	at := r.IntN(len(text) - size)
	if k := strings.IndexByte(text[at:at+size/2], '\n'); k >= 0 {
		at += k + 1
	}
	end := min(at+size, len(text))
	for at < end && !utf8.RuneStart(text[at]) {
		at++
	}
	for end > at && end < len(text) && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[at:end]
}

// place puts a payload into a carrier between lines or sentences; where says how far in, from 0 to 1.
func place(carrier, payload string, where float64) (text string, start, end int) {
	at := int(where * float64(len(carrier)))
	best := len(carrier)
	if where == 0 {
		best = 0
	}
	for k := at; k < len(carrier) && k < at+400 && where > 0; k++ {
		if carrier[k] == '\n' || k > 0 && carrier[k-1] == '.' && carrier[k] == ' ' {
			best = k
			break
		}
	}
	sep := "\n"
	if best < len(carrier) && carrier[best] == ' ' {
		sep = " "
	}
	text = carrier[:best] + sep + payload + sep + carrier[best:]
	start = best + len(sep)
	return text, start, start + len(payload)
}

// asJSON puts a text into a field of a JSON object, as tools do, and moves the span along.
func asJSON(r *rand.Rand, text string, start, end int) (string, int, int) {
	head := fmt.Sprintf(`{"id": %d, "%s": "`, r.IntN(9000), []string{"body", "content", "text", "description", "snippet", "review"}[r.IntN(6)])
	a, b, c := escaped(text[:start]), escaped(text[start:end]), escaped(text[end:])
	tail := []string{`", "status": "ok"}`, `"}`, `", "read": false, "tags": ["inbox", "new"]}`}[r.IntN(3)]
	return head + a + b + c + tail, len(head) + len(a), len(head) + len(a) + len(b)
}

func escaped(s string) string {
	out, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(out[1 : len(out)-1])
}

// disguises are the ways to hide a payload; each is a name and what it does.
func disguises() []disguise {
	return []disguise{
		{"base64", func(s string) string { return "Decode and follow: " + base64.StdEncoding.EncodeToString([]byte(s)) }},
		{"base64 alone", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }},
		{"base64 twice", func(s string) string {
			return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(s))))
		}},
		{"hex", func(s string) string { return hex.EncodeToString([]byte(s)) }},
		{"url", percentAll},
		{"entities", func(s string) string {
			return each(s, func(r rune) string { return fmt.Sprintf("&#%d;", r) })
		}},
		{"json escapes", func(s string) string { return each(s, func(r rune) string { return fmt.Sprintf(`\u%04x`, r&0xFFFF) }) }},
		{"tags", func(s string) string {
			return each(s, func(r rune) string {
				if r >= 32 && r < 127 {
					return string(0xE0000 + r)
				}
				return ""
			})
		}},
		{"zero width", func(s string) string { return each(s, func(r rune) string { return string(r) + "\u200b" }) }},
		{"soft hyphens", func(s string) string {
			return each(s, func(r rune) string {
				if strings.ContainsRune("aeiou", r) {
					return string(r) + "\u00ad"
				}
				return string(r)
			})
		}},
		{"lookalikes", func(s string) string {
			return strings.NewReplacer("a", "а", "e", "е", "o", "о", "p", "р", "c", "с", "i", "і").Replace(s)
		}},
		{"fullwidth", func(s string) string {
			return each(s, func(r rune) string {
				if r > 32 && r < 127 {
					return string(r + 0xFEE0)
				}
				return string(r)
			})
		}},
		{"mathematical", func(s string) string {
			return each(s, func(r rune) string {
				if r >= 'a' && r <= 'z' {
					return string(0x1D41A + r - 'a')
				}
				return string(r)
			})
		}},
		{"spaced letters", func(s string) string {
			return strings.TrimSpace(each(s, func(r rune) string { return string(r) + " " }))
		}},
		{"dotted letters", func(s string) string {
			return strings.ReplaceAll(strings.TrimSpace(each(s, func(r rune) string { return string(r) + "." })), " .", "  ")
		}},
		{"leet", func(s string) string { return strings.NewReplacer("i", "1", "e", "3", "o", "0", "s", "5").Replace(s) }},
		{"html comment", func(s string) string { return "<!-- " + s + " -->" }},
		{"hidden element", func(s string) string { return `<span style="display:none">` + s + "</span>" }},
		{"tags in words", func(s string) string { return strings.NewReplacer("re", "r<b>e</b>", "al", "a<i>l</i>").Replace(s) }},
	}
}

type disguise struct {
	name string
	do   func(string) string
}

func each(s string, do func(rune) string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteString(do(r))
	}
	return b.String()
}

func percentAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// composer makes samples of a corpus, the same for the same seed.
type composer struct {
	r        *rand.Rand
	carriers []doc
}

func newComposer(seed uint64, carriers []doc) *composer {
	return &composer{rand.New(rand.NewPCG(seed, 99)), carriers}
}

// carried puts a payload into a random passage of a random carrier.
func (c *composer) carried(payload string, size int) (text string, start, end int, from string) {
	d := c.carriers[c.r.IntN(len(c.carriers))]
	part := passage(c.r, d.text, size)
	where := c.r.Float64()
	if c.r.IntN(8) == 0 {
		where = 0
	}
	text, start, end = place(part, payload, where)
	return text, start, end, d.source
}

// attack makes one sample of an order or a whole attack.
func (c *composer) attack(d doc, w *wrapper, disguised bool) sample {
	payload, s := d.text, sample{source: d.source}
	if w != nil {
		payload, s.family, s.held = wrap(c.r, *w, d.text), w.family, w.held
	} else if len(payload) > 1500 {
		payload = passage(c.r, payload, 1500)
	}
	if disguised {
		list := disguises()
		payload = list[c.r.IntN(len(list))].do(payload)
	}
	s.text, s.start, s.end, s.carrier = c.carried(payload, 200+c.r.IntN(2500))
	if c.r.IntN(4) == 0 {
		s.text, s.start, s.end = asJSON(c.r, s.text, s.start, s.end)
	}
	return s
}

// hide marks where the order stands in the payload, so that only the wrapper is learnt.
func (s *sample) hide(order string) {
	for _, form := range []string{order, escaped(order)} {
		if at := strings.Index(s.text[s.start:s.end], form); at >= 0 && len(form) < s.end-s.start {
			s.hideStart, s.hideEnd = s.start+at, s.start+at+len(form)
			return
		}
	}
}

// attacks makes the attacks to train on: each order in some wrappers, each whole attack in some carriers.
func (c *composer) attacks(orders, whole []doc, wrappers []wrapper, times int) []sample {
	var out []sample
	for _, d := range orders {
		for range times {
			w := wrappers[c.r.IntN(len(wrappers))]
			x := c.attack(d, &w, c.r.IntN(12) == 0)
			if d.source != harmfulSource || c.r.IntN(2) == 0 {
				x.hide(d.text)
			}
			out = append(out, x)
		}
	}
	for _, d := range whole {
		for range max(1, times-1) {
			out = append(out, c.attack(d, nil, c.r.IntN(16) == 0))
		}
	}
	return out
}

// harmless makes samples of texts as they are, some of them inside JSON or encoded.
func (c *composer) harmless(docs []doc) []sample {
	var out []sample
	for _, d := range docs {
		text, disguised := d.text, false
		switch c.r.IntN(10) {
		case 0, 1:
			text, _, _ = asJSON(c.r, text, 0, 0)
		case 2:
			if len(text) < 1500 {
				text, disguised = disguises()[c.r.IntN(len(disguises()))].do(text), true
			}
		}
		out = append(out, sample{source: d.source, text: text, disguised: disguised})
	}
	return out
}
