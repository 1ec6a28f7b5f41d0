package console

import (
	"slices"
	"testing"
)

func TestNoCellIsAFormula(t *testing.T) {
	t.Parallel()
	in := []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠A", "", "a=1", "1", "'=1", "é"}
	want := []string{"'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'\r=1", "'\n=1", "'＝1", "'＋1", "'－1", "'＠A", "", "a=1", "1", "'=1", "é"}
	if got := cells(slices.Clone(in)...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
