package bundle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestALineDiffIsUnified(t *testing.T) {
	t.Parallel()
	before := "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\neleven\ntwelve\n"
	after := "one\nTWO\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\neleven\ntwelve\nthirteen\n"
	want := []string{
		"@@ -1,5 +1,5 @@", " one", "-two", "+TWO", " three", " four", " five",
		"@@ -10,3 +10,4 @@", " ten", " eleven", " twelve", "+thirteen",
	}
	got, more := lineDiff([]byte(before), []byte(after))
	if diff := cmp.Diff(want, got); diff != "" || more != 0 {
		t.Errorf("%d more, (-want +got):\n%s", more, diff)
	}
	if got, _ := lineDiff([]byte(before), []byte(before)); got != nil {
		t.Errorf("the same differs: %q", got)
	}
}

// patched applies a diff as patch(1) does, without its leniency.
func patched(t *testing.T, before []string, diff []string) []string {
	t.Helper()
	var out []string
	at := 0
	for _, line := range diff {
		if strings.HasPrefix(line, "@@") {
			var first, count, first2, count2 int
			if _, err := fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", &first, &count, &first2, &count2); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if count > 0 {
				first--
			}
			if count2 > 0 {
				first2--
			}
			out = append(out, before[at:first]...)
			if at = first; len(out) != first2 {
				t.Fatalf("%q: %d lines stand before it", line, len(out))
			}
			continue
		}
		if line[0] != '+' && (at >= len(before) || before[at] != line[1:]) {
			t.Fatalf("%q does not stand at line %d of %q", line, at+1, before)
		}
		if line[0] != '+' {
			at++
		}
		if line[0] != '-' {
			out = append(out, line[1:])
		}
	}
	return append(out, before[at:]...)
}

func TestALineDiffLeadsFromOneTextToTheOther(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	text := func() []string {
		lines := make([]string, random.IntN(40))
		for i := range lines {
			lines[i] = string(rune('a' + random.IntN(4)))
		}
		return lines
	}
	joined := func(lines []string) []byte {
		if len(lines) == 0 {
			return nil
		}
		return []byte(strings.Join(lines, "\n") + "\n")
	}
	for range 2000 {
		before, after := text(), text()
		diff, more := lineDiff(joined(before), joined(after))
		if got := patched(t, before, diff); !slices.Equal(got, after) || more != 0 {
			t.Fatalf("seed %d: %q leads from %q to %q, want %q", seed, diff, before, got, after)
		}
	}
}

func TestALineDiffIsBounded(t *testing.T) {
	t.Parallel()
	var before, after []string
	for i := range 20_000 {
		before, after = append(before, fmt.Sprint("old ", i)), append(after, fmt.Sprint("new ", i))
	}
	got, more := lineDiff([]byte(strings.Join(before, "\n")), []byte(strings.Join(after, "\n")))
	if len(got) != diffLinesMax || more != 40_001-diffLinesMax {
		t.Errorf("%d lines and %d more", len(got), more)
	}
	for _, e := range compareMiddle(splitLines([]byte(strings.Repeat("a\n", 2000)+"same\n")), splitLines([]byte("same\n"+strings.Repeat("b\n", 2000)))) {
		if e.op == ' ' {
			t.Error("4 million pairs of lines are compared")
		}
	}
	got, _ = lineDiff(nil, []byte(strings.Repeat("x", 1<<20)+"\xff"))
	if len(got) != 2 || len(got[1]) > diffLineBytes+len("+…") {
		t.Errorf("a long line: %d bytes", len(got[len(got)-1]))
	}
}

func TestAMoveIsBoundedAndOnOneLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 400)
	got := moves(Agent{Owner: "ana"}, Agent{Owner: long, Suspended: true})
	if len(got) != 2 || got[0].From != "ana" || len(got[0].To) > moveBytesMax+len("…") || !strings.HasSuffix(got[0].To, "ä…") {
		t.Errorf("moves: %v", got)
	}
	if got[1] != (Move{"suspended", "false", "true"}) {
		t.Errorf("moves: %v", got)
	}
}
