package taint_test

import (
	"testing"

	"github.com/writ-dev/writ/internal/taint"
)

func TestMarksRememberWhereAnIdentifierCameFrom(t *testing.T) {
	t.Parallel()
	a, b := taint.Digest{1}, taint.Digest{2}
	for name, c := range map[string]struct {
		learnt [][]taint.Mark
		want   taint.Flag
	}{
		"from a stranger":            {[][]taint.Mark{{{a, taint.Tainted}}}, taint.Tainted},
		"beside a finding":           {[][]taint.Mark{{{a, taint.Tainted}}, {{a, taint.Near}}}, taint.Near},
		"and again without one":      {[][]taint.Mark{{{a, taint.Near}}, {{a, taint.Tainted}}}, taint.Near},
		"named by a person":          {[][]taint.Mark{{{a, taint.Near}}, {{a, taint.Trusted}}}, taint.Trusted},
		"named, then by a stranger":  {[][]taint.Mark{{{a, taint.Trusted}}, {{a, taint.Near}}}, taint.Trusted},
		"another one":                {[][]taint.Mark{{{b, taint.Near}}}, 0},
		"beside another one, at all": {[][]taint.Mark{{{b, taint.Near}, {a, taint.Tainted}}}, taint.Tainted},
	} {
		var marks []byte
		for _, l := range c.learnt {
			marks = taint.Learn(marks, l)
		}
		if got, _ := taint.Lookup(marks, a); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	var marks []byte
	for i := range 300 {
		marks = taint.Learn(marks, []taint.Mark{{taint.Digest{9, byte(i), byte(i >> 8)}, taint.Tainted}})
	}
	if _, known := taint.Lookup(marks, taint.Digest{9, 0, 0}); known || len(marks) > 128*9 {
		t.Errorf("marks grow without bound: %d bytes", len(marks))
	}
	if _, known := taint.Lookup(marks, taint.Digest{9, 43, 1}); !known {
		t.Error("the newest mark is forgotten")
	}
}
