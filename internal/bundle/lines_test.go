package bundle

import (
	"fmt"
	"strings"
	"testing"

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

func TestALineDiffIsBounded(t *testing.T) {
	t.Parallel()
	var before, after []string
	for i := range 20_000 {
		before, after = append(before, fmt.Sprint("old ", i)), append(after, fmt.Sprint("new ", i))
	}
	got, more := lineDiff([]byte(strings.Join(before, "\n")+"\n"), []byte(strings.Join(after, "\n")+"\n"))
	if len(got) != diffLinesMax || more != 40_001-diffLinesMax {
		t.Errorf("%d lines and %d more", len(got), more)
	}
	got, _ = lineDiff(nil, []byte(strings.Repeat("x", 1<<20)+"\xff"))
	if len(got) != 3 || len(got[1]) > diffLineBytes+len("…") {
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
