package scan

import (
	"strings"
	"unicode/utf8"
)

const (
	spacedLettersMin = 8    // a shorter run is an abbreviation
	spacedLettersMax = 4096 // of one run, cut into words
	wordLettersMax   = 16
)

// spacedLetters decodes text written with a blank or a sign between the letters: "i g n o r e". Where the words are not told
// apart by more blanks, they are cut by the lexicon.
func (s *Scanner) spacedLetters(out, v *view) {
	for i := 0; i+2 < len(v.text); {
		if !isLetter(v.text[i]|0x20) || i > 0 && isAlnum(v.text[i-1]) {
			i++
			continue
		}
		gap := v.text[i+1]
		if isAlnum(gap) { // a word, of which no letter stands alone
			for i < len(v.text) && isAlnum(v.text[i]) {
				i++
			}
			continue
		}
		if gap == '\n' || gap >= utf8.RuneSelf {
			i++
			continue
		}
		i = out.spacedRun(v, i, gap, s.known)
	}
}

// spacedRun reads a run of single letters with gap in between that begins at start, and returns where it ends.
func (o *view) spacedRun(v *view, start int, gap byte, known map[string]bool) int {
	var letters []byte
	var at []int
	blank := false // one blank more than the gap is between words
	i := start
	for i < len(v.text) && len(letters) < spacedLettersMax {
		if !isAlnum(v.text[i]) || i+1 < len(v.text) && isAlnum(v.text[i+1]) {
			break
		}
		letters, at = append(letters, v.text[i]|0x20), append(at, i)
		i++
		if i >= len(v.text) || v.text[i] != gap {
			break
		}
		n := 0
		for i < len(v.text) && n < 4 && (v.text[i] == gap || v.text[i] == ' ') {
			i++
			n++
		}
		if n > 1 {
			blank = true
			letters, at = append(letters, ' '), append(at, i-1)
		}
	}
	if len(letters) < spacedLettersMin {
		return max(i, start+1)
	}
	if !blank {
		letters, at = cut(letters, at, known)
	}
	for k, c := range letters {
		o.text, o.src = append(o.text, c), append(o.src, v.src[at[k]]&offsetMask)
	}
	last := o.src[len(o.src)-1]
	o.text, o.src = append(o.text, '\n', '\n'), append(o.src, last, last)
	return max(i, start+1)
}

// cut puts blanks between the words of a run of letters, so that as many letters as can be are of words that are known.
func cut(letters []byte, at []int, known map[string]bool) ([]byte, []int) {
	best := make([]int, len(letters)+1) // what is known up to here
	step := make([]int, len(letters)+1)
	for i := 1; i <= len(letters); i++ {
		best[i], step[i] = best[i-1], 1
		for n := 1; n <= min(i, wordLettersMax); n++ {
			if score := best[i-n] + n*n; known[string(letters[i-n:i])] && score > best[i] {
				best[i], step[i] = score, n
			}
		}
	}
	var ends []int
	for i := len(letters); i > 0; i -= step[i] {
		ends = append(ends, i)
	}
	var out []byte
	var where []int
	from := 0
	for k := len(ends) - 1; k >= 0; k-- {
		out, where = append(out, letters[from:ends[k]]...), append(where, at[from:ends[k]]...)
		out, where = append(out, ' '), append(where, at[ends[k]-1])
		from = ends[k]
	}
	return out, where
}

// cuttable are the words that a run of letters is cut into: those of the lexicon and the commonest others.
func cuttable() map[string]bool {
	known := map[string]bool{}
	for _, e := range englishWords() {
		for _, w := range strings.Fields(e.words) {
			if len(w) > 2 {
				known[w] = true
			}
		}
	}
	for _, w := range strings.Fields("a i to the and of in is it be as at so we he or on do if me up an go no us am by for are but not you all can had her was one our out day has him his how man its who did yes let say that with have this will from they been were said each which their time would there could other than then them these some into very what about know just your over also back after first well even want because any give most with file files data number numbers street") {
		known[w] = true
	}
	return known
}
