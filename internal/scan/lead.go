package scan

import "bytes"

// leads says which decoders could find anything in a text, by one pass over it: most texts have nothing to decode.
type leads struct{ base64, hex, tags, spaced bool }

const (
	spacedLead = 4  // single letters in a row, fewer than any run of spacedLettersMin has
	spacedGap  = 5  // bytes between them
	hexLead    = 16 // digits
)

// lead looks for runs that are long enough to be base64 or hex, for pairs of hex digits, and for single letters in a row.
func lead(text []byte) leads {
	l := leads{tags: bytes.IndexByte(text, 0xF3) >= 0} // the first byte of all of them
	var pairs, singles int
	blob, last := 0, 0 // how many bytes of base64 there are up to here, and where the last word ended
	for i := 0; i < len(text); {
		if !isAlnum(text[i]) {
			if isBase64(text[i]) {
				blob++
			} else {
				blob = 0
			}
			i++
			continue
		}
		start := i
		for i < len(text) && isAlnum(text[i]) {
			i++
		}
		digits := hexTail(text[start:i])
		l.hex = l.hex || i-start >= hexLead && hexRun(text[start:i])
		blob += i - start
		l.base64 = l.base64 || blob >= blobBytesMin
		switch {
		case digits == 2 && i-start == 2 && start-last == 1 && pairs > 0:
			pairs += 2
			l.hex = l.hex || pairs >= hexLead
		case digits >= 2 && digits%2 == 0:
			pairs = digits
		default:
			pairs = 0
		}
		if i-start == 1 && (singles == 0 || start-last <= spacedGap) {
			singles++
			l.spaced = l.spaced || singles >= spacedLead
		} else {
			singles = 0
		}
		last = i
	}
	return l
}

func isHex(c byte) bool { return c-'0' < 10 || c|0x20-'a' < 6 }

// hexTail is how many digits of hex a word is, behind its last x; negative when there is another letter among them.
func hexTail(word []byte) int {
	for i := len(word) - 1; i >= 0; i-- {
		if !isHex(word[i]) {
			if word[i] == 'x' {
				return len(word) - 1 - i
			}
			return -1
		}
	}
	return len(word)
}

// hexRun says whether a word begins with a run of hex digits that is long enough, or has one behind an x.
func hexRun(word []byte) bool {
	digits := 0
	for _, c := range word {
		switch {
		case digits >= 0 && isHex(c):
			if digits++; digits >= hexLead {
				return true
			}
		case c == 'x':
			digits = 0
		default:
			digits = -1
		}
	}
	return false
}
