package taint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/taint"
)

func keys(ids []taint.Identifier) []string {
	var out []string
	for _, i := range ids {
		out = append(out, i.Key())
	}
	return out
}

func TestIdentifiersAreFoundAndNormalized(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"Write to Kim <Kim.Lee@Outside.Example>.":            {"mail:kim.lee@outside.example", "host:outside.example"},
		"see HTTPS://www.Example.com/a/B/?q=1, please":       {"url:example.com/a/B/?q=1", "host:example.com"},
		"https://Example.com/":                               {"host:example.com"},
		"visit www.free-vouchers.example today":              {"host:free-vouchers.example"},
		"pay DE89 3704 0044 0532 0130 00 now":                {"account:DE89370400440532013000"},
		"IBAN GB33BUKB20201555555555.":                       {"account:GB33BUKB20201555555555"},
		"account 98765432, amount 50":                        {"number:98765432"},
		"product P025 and order ORDER-104674":                {"account:P025", "account:ORDER104674"},
		"read ~/.ssh/id_rsa and ./notes/a.txt, report.pdf":   {"path:~/.ssh/id_rsa", "path:./notes/a.txt", "path:report.pdf"},
		`{"to":"kim@outside.example\nnext"}`:                 {"mail:kim@outside.example", "host:outside.example"},
		"on 3 May we ate 12 cakes and/or pies in 2024":       nil,
		"a@b, @name, 1/2, v1.2, e.g. this. And that":         nil,
		"to:a@x.example,b@y.example":                         {"mail:a@x.example", "host:x.example", "mail:b@y.example", "host:y.example"},
		"mailto:kim@outside.example?subject=1 call +49 1234": {"mail:kim@outside.example", "host:outside.example", "number:491234"},
	} {
		if got := keys(taint.Identifiers(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestPlacesAreThoseOfTheText(t *testing.T) {
	t.Parallel()
	text := "Send it to kim@outside.example or pay DE89 3704 0044 0532 0130 00."
	for _, i := range taint.Identifiers(text) {
		got := strings.ToLower(strings.ReplaceAll(text[i.Start:i.End], " ", ""))
		if !strings.Contains(got, strings.ToLower(i.Value)) {
			t.Errorf("%s is said to stand at %q", i.Key(), text[i.Start:i.End])
		}
	}
	mail := taint.Identifiers(text)[0]
	if !mail.Near(0, 8, 3) || mail.Near(0, 8, 2) || !mail.Near(12, 14, 0) || mail.Near(40, 44, 9) {
		t.Errorf("near is wrong for %+v", mail)
	}
}

func TestOfJSONIsWhatTheLeavesHold(t *testing.T) {
	t.Parallel()
	got, err := taint.OfJSON([]byte(`{"to":["kim@outside.example"],"body":{"account":98765432,"note":"kim@outside.example"}}`))
	if want := []string{"host:outside.example", "mail:kim@outside.example", "number:98765432"}; err != nil || !slices.Equal(keys(got), want) {
		t.Errorf("%q, %v, want %q", keys(got), err, want)
	}
	if _, err := taint.OfJSON([]byte(`{"to":`)); err == nil {
		t.Error("half a value is taken for one")
	}
}

func TestWhatIsFoundIsBounded(t *testing.T) {
	t.Parallel()
	if n := len(taint.Identifiers(strings.Repeat("a@b.example ", 5000))); n != taint.IdentifiersMax {
		t.Errorf("%d identifiers", n)
	}
	long := taint.Identifiers("https://a.example/" + strings.Repeat("x", 5000))
	if len(long) != 2 || len(long[0].Value) != taint.ValueBytesMax {
		t.Errorf("%d identifiers, the first of %d bytes", len(long), len(long[0].Value))
	}
	if _, err := taint.OfJSON([]byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))); err != nil {
		t.Error(err)
	}
}

func FuzzIdentifiers(f *testing.F) {
	for _, s := range []string{"a@b.cc", "http://a.bc/d=e@f", "x=y=z@q.rs,1 2 3", "DE89 3704", "\\", "=,;@", "a/b/c.txt"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		for _, i := range taint.Identifiers(text) {
			if i.Start < last || i.End > len(text) || i.Start >= i.End || i.Value == "" || len(i.Value) > taint.ValueBytesMax {
				t.Fatalf("%+v of %d bytes", i, len(text))
			}
			last = i.Start
		}
	})
}
