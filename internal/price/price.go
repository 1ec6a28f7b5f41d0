// Package price turns the tokens of a model into money: whole millionths of a US dollar, rounded up, never a float. It has a table
// of list prices of well-known models, with its date and where each price is from; a bundle can say others. It promises that a
// model which it does not know has no price: that is said, and is not zero. It is pure.
//
// List prices know no discount for cached or batched tokens and no surcharge for long prompts. Who has an exact cost reports that.
package price

import (
	_ "embed" // the table
	"encoding/csv"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Date is when the table was put together, and the name of its version in records.
const Date = "2026-03-21"

// CostMax bounds a cost, in micro-USD: what would be more counts as this, a billion dollars.
const CostMax = 1_000_000_000_000_000

const perTokens = 1_000_000

// Price is what a model costs, in micro-USD for a million tokens.
type Price struct {
	Input  int64
	Output int64
}

// Cost is what tokens cost, in micro-USD, rounded up and at most CostMax. Tokens below zero count as none.
func (p Price) Cost(input, output int64) int64 {
	return min(part(input, p.Input)+part(output, p.Output), CostMax)
}

func part(tokens, price int64) int64 {
	if tokens <= 0 || price <= 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(tokens), uint64(price))
	if high >= perTokens {
		return CostMax
	}
	cost, rest := bits.Div64(high, low, perTokens)
	if cost >= CostMax {
		return CostMax
	}
	if rest > 0 {
		cost++
	}
	return int64(cost)
}

// Row is one line of the table.
type Row struct {
	Model  string
	Price  Price
	As     string // date at which the price was published as this
	Source string // address of the vendor's list
}

//go:embed table.csv
var text string

// Rows gives the table.
func Rows() []Row { return table().rows }

type loaded struct {
	rows   []Row
	models map[string]Price
}

var table = sync.OnceValue(func() loaded {
	r := csv.NewReader(strings.NewReader(text))
	r.Comment, r.FieldsPerRecord = '#', 5
	lines, err := r.ReadAll()
	if err != nil {
		panic("price: the table is not CSV: " + err.Error())
	}
	out := loaded{models: map[string]Price{}}
	for _, f := range lines[1:] {
		p := Price{micro(f[1]), micro(f[2])}
		out.rows = append(out.rows, Row{f[0], p, f[3], f[4]})
		out.models[f[0]] = p
	}
	return out
})

func micro(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		panic("price: the table has no price " + s)
	}
	return n
}

// Of gives the list price of a model.
func Of(model string) (Price, bool) { return Find(table().models, model) }

// datedRE is how vendors name the version of a model: claude-sonnet-4-5-20250929, gpt-5-2025-08-07.
var datedRE = regexp.MustCompile(`-20[0-9]{2}(-?[0-9]{2}){2}$`)

// Find looks a model up by its name; else without the provider before it (anthropic/); else without the date behind it too.
func Find(models map[string]Price, model string) (Price, bool) {
	if p, ok := models[model]; ok {
		return p, true
	}
	name := model[strings.LastIndexByte(model, '/')+1:]
	if p, ok := models[name]; ok {
		return p, true
	}
	p, ok := models[datedRE.ReplaceAllString(name, "")]
	return p, ok
}
