package bundle

import (
	"bytes"

	"github.com/rogpeppe/go-internal/diff"
)

const (
	diffLinesMax  = 400 // of one text
	diffLineBytes = 400 // of one line, the rest is cut
)

// lineDiff is what differs between two texts in the unified form, without the names of files. Of a long one only the first lines are
// given; more is how many are left out.
func lineDiff(before, after []byte) (lines []string, more int) {
	text := diff.Diff("", before, "", after)
	at := bytes.Index(text, []byte("\n@@ "))
	if at < 0 {
		return nil, 0
	}
	for line := range bytes.Lines(text[at+1:]) {
		if len(lines) == diffLinesMax {
			more++
			continue
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		cut := ""
		if len(line) > diffLineBytes {
			line, cut = line[:diffLineBytes], "…"
		}
		lines = append(lines, string(bytes.ToValidUTF8(line, []byte("\uFFFD")))+cut)
	}
	return lines, more
}
