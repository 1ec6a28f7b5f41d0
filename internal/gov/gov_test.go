package gov_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-dev/writ/internal/gov"
)

// TestNamesAreThoseOfTheirPattern: the checks are by hand because every call pays for them.
func TestNamesAreThoseOfTheirPattern(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		valid   func(string) bool
		pattern string
	}{
		{gov.ValidName, `^[a-z0-9][a-z0-9._-]{0,127}$`},
		{gov.ValidTool, `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`},
		{gov.ValidOpaque, `^[A-Za-z0-9][A-Za-z0-9._:/+=@|-]{0,127}$`},
	} {
		pattern := regexp.MustCompile(c.pattern)
		check := func(s string) {
			// $ also matches before a last newline in some languages, never in Go.
			if got, want := c.valid(s), pattern.MatchString(s); got != want {
				t.Fatalf("%q: %v, the pattern %s says %v", s, got, c.pattern, want)
			}
		}
		for _, s := range []string{"", "a", "A", "-", "a/b", "a/", "/b", "a/b/c", "a:b/c", "a/b:c", "é", "a\n", "a b", strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("a", 64) + "/b", strings.Repeat("a", 65) + "/b"} {
			check(s)
		}
		rapid.Check(t, func(r *rapid.T) { check(rapid.StringMatching(`[aZ5._:/+=@|é\n -]{0,12}`).Draw(r, "text")) })
	}
}

func TestPrincipalsReadBack(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"user:ana", "service:a:b", "organization:ACME Ltd."} {
		p, err := gov.ParsePrincipal(text)
		if err != nil || p.String() != text {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "ana", "user:", "robot:x", "user:a\x00", "user:" + strings.Repeat("x", 300)} {
		if p, err := gov.ParsePrincipal(text); err == nil {
			t.Errorf("%q is read as %v", text, p)
		}
	}
}

func TestUnknownErrorsSayNothing(t *testing.T) {
	t.Parallel()
	known := &gov.Error{Code: gov.CodeConflict, Path: "/x", Detail: "because", Err: errors.New("cause")}
	if got := gov.CodeOf(fmt.Errorf("outer: %w", known)); got != gov.CodeConflict {
		t.Errorf("wrapped: %s", got)
	}
	if got := gov.CodeOf(errors.New("x")); got != gov.CodeInternal {
		t.Errorf("unknown: %s", got)
	}
	if got := known.Error(); got != "conflict at /x: because: cause" {
		t.Error(got)
	}
}
