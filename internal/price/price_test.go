package price_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/writ-dev/writ/internal/price"
)

func TestTokensBecomeWholeMillionthsRoundedUp(t *testing.T) {
	t.Parallel()
	sonnet := price.Price{Input: 3_000_000, Output: 15_000_000}
	for _, c := range []struct {
		of            price.Price
		input, output int64
		want          int64
	}{
		{sonnet, 0, 0, 0},
		{sonnet, 1, 0, 3},
		{sonnet, 1_000_000, 1_000_000, 18_000_000},
		{price.Price{Input: 1, Output: 1}, 1, 1, 2}, // a part of a millionth is one
		{price.Price{Input: 250_000, Output: 1}, 5, 0, 2},
		{sonnet, -5, -5, 0},
		{sonnet, math.MaxInt64, math.MaxInt64, price.CostMax},
		{price.Price{Input: math.MaxInt64}, math.MaxInt64, 0, price.CostMax},
		{price.Price{Input: math.MaxInt64}, 1, 0, 9_223_372_036_855},
	} {
		if got := c.of.Cost(c.input, c.output); got != c.want {
			t.Errorf("%v for %d and %d tokens: %d, want %d", c.of, c.input, c.output, got, c.want)
		}
	}
}

func TestAModelHasManyNamesAndAnUnknownOneHasNoPrice(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "proxy/anthropic/claude-sonnet-4-5-20250929"} {
		if p, ok := price.Of(name); !ok || p != (price.Price{Input: 3_000_000, Output: 15_000_000}) {
			t.Errorf("%s: %v, %t", name, p, ok)
		}
	}
	for _, name := range []string{"", "claude", "gpt-5-turbo", "gpt-5-2025-08-07-x", "gpt-5/"} {
		if p, ok := price.Of(name); ok {
			t.Errorf("%q has the price %v", name, p)
		}
	}
	if p, ok := price.Of("openai/gpt-5-2025-08-07"); !ok || p.Input != 1_250_000 {
		t.Errorf("gpt-5 by its date: %v, %t", p, ok)
	}
}

func TestTheTableSaysWhereEachPriceIsFrom(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range price.Rows() {
		at, err := time.Parse(time.DateOnly, r.As)
		made, _ := time.Parse(time.DateOnly, price.Date)
		if err != nil || at.After(made) || !strings.HasPrefix(r.Source, "https://") || seen[r.Model] || r.Price.Input > r.Price.Output {
			t.Errorf("%+v", r)
		}
		seen[r.Model] = true
	}
	if len(seen) < 20 {
		t.Errorf("%d models", len(seen))
	}
}
