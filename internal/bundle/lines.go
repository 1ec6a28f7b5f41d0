package bundle

import (
	"bytes"
	"fmt"
	"slices"
)

const (
	contextLines  = 3       // around what differs
	diffLinesMax  = 400     // of one text
	diffLineBytes = 400     // of one line, the rest is cut
	diffCellsMax  = 1 << 20 // lines before times lines after that are compared; beyond it the whole middle counts as replaced
)

// edit is one line of a comparison: ' ' on both sides, '-' before, '+' after.
type edit struct {
	op   byte
	line []byte
}

// lineDiff is what differs between two texts in the unified form, without the names of files. Of a long one only the first lines are
// given; more is how many are left out.
func lineDiff(before, after []byte) (lines []string, more int) {
	edits := compareLines(splitLines(before), splitLines(after))
	for _, h := range hunks(edits) {
		lines = append(lines, h.header())
		for _, e := range edits[h.first:h.last] {
			line := e.line
			if len(line) > diffLineBytes {
				line = append(slices.Clip(line[:diffLineBytes]), "…"...)
			}
			lines = append(lines, string(e.op)+string(bytes.ToValidUTF8(line, []byte("\uFFFD"))))
		}
	}
	if len(lines) > diffLinesMax {
		return lines[:diffLinesMax], len(lines) - diffLinesMax
	}
	return lines, 0
}

func splitLines(text []byte) [][]byte {
	if len(text) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

// compareLines gives a shortest way from one text to the other, by lines. What is common at both ends is not compared again.
func compareLines(a, b [][]byte) []edit {
	head := 0
	for head < min(len(a), len(b)) && bytes.Equal(a[head], b[head]) {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && bytes.Equal(a[len(a)-1-tail], b[len(b)-1-tail]) {
		tail++
	}
	out := mark(nil, ' ', a[:head])
	out = append(out, compareMiddle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	return mark(out, ' ', a[len(a)-tail:])
}

func mark(out []edit, op byte, lines [][]byte) []edit {
	for _, line := range lines {
		out = append(out, edit{op, line})
	}
	return out
}

// compareMiddle finds the longest common subsequence.
func compareMiddle(a, b [][]byte) []edit {
	if len(a) == 0 || len(b) == 0 || len(a) > diffCellsMax/len(b) {
		return mark(mark(nil, '-', a), '+', b)
	}
	width := len(b) + 1
	common := make([]int32, (len(a)+1)*width) // of a[i:] and b[j:], at i*width+j
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if bytes.Equal(a[i], b[j]) {
				common[i*width+j] = common[(i+1)*width+j+1] + 1
			} else {
				common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
			}
		}
	}
	var out []edit
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case bytes.Equal(a[i], b[j]):
			out = append(out, edit{' ', a[i]})
			i, j = i+1, j+1
		case common[(i+1)*width+j] >= common[i*width+j+1]:
			out = append(out, edit{'-', a[i]})
			i++
		default:
			out = append(out, edit{'+', b[j]})
			j++
		}
	}
	return mark(mark(out, '-', a[i:]), '+', b[j:])
}

// hunk is a run of edits with something that differs, and where it stands on both sides, from 0.
type hunk struct {
	first, last   int // edits [first, last)
	before, after int
	gone, come    int // lines on each side
}

func (h hunk) header() string {
	return fmt.Sprintf("@@ -%s +%s @@", place(h.before, h.gone), place(h.after, h.come))
}

// place is where lines stand, as the unified form counts: from 1, and of no lines the one before.
func place(first, count int) string {
	if count == 0 {
		return fmt.Sprintf("%d,0", first)
	}
	return fmt.Sprintf("%d,%d", first+1, count)
}

// hunks puts what differs together with the lines around it.
func hunks(edits []edit) []hunk {
	var out []hunk
	before, after := 0, 0
	for n, e := range edits {
		if e.op != ' ' {
			start := max(0, n-contextLines)
			if len(out) == 0 || start > out[len(out)-1].last {
				out = append(out, hunk{first: start, before: before - (n - start), after: after - (n - start)})
			}
			out[len(out)-1].last = min(len(edits), n+1+contextLines)
		}
		if e.op != '+' {
			before++
		}
		if e.op != '-' {
			after++
		}
	}
	for i := range out {
		for _, e := range edits[out[i].first:out[i].last] {
			if e.op != '+' {
				out[i].gone++
			}
			if e.op != '-' {
				out[i].come++
			}
		}
	}
	return out
}
