package limit

import (
	"errors"
	"math"
	"strconv"
	"time"
)

const (
	// parts is how many buckets a sliding window is counted in. The oldest one counts whole until it is all out of the window, so
	// that a call is counted for as long as the window, and a sixtieth of it longer at most.
	parts = 60

	// anchor is from where fixed windows are laid: Monday, 1 January 2001, 00:00 UTC. Days begin at midnight, weeks on Mondays.
	anchor = 978_307_200_000_000

	bucketsMax = parts + 2
)

// Use is what a window holds.
type Use struct {
	Calls    int64
	Spent    int64 // micro-USD that is settled
	Reserved int64 // micro-USD that is not
	Unpriced int64 // results of which nobody knows the cost: what was reserved is in Spent
}

// Micro is what is not left, in micro-USD.
func (u Use) Micro() int64 { return plus(u.Spent, u.Reserved) }

// plus never overflows: sums stop at the greatest number.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Counter counts what one limit allowed for one key.
type Counter struct {
	window  int64 // microseconds
	fixed   bool
	money   bool
	warn    int64 // how much used is worth telling people, or 0
	warned  int64 // when that was last so, microseconds
	buckets []bucket
}

// bucket is a part of a window, or a fixed one.
type bucket struct {
	number int64
	Use
}

// NewCounter is an empty counter of a rule.
func NewCounter(r *Rule) Counter {
	return Counter{window: r.WindowSeconds * 1_000_000, fixed: r.Fixed, money: r.MicroUSD > 0}
}

func (c *Counter) width() int64 {
	if c.fixed {
		return c.window
	}
	return (c.window + parts - 1) / parts
}

// number is the bucket that a time is in.
func (c *Counter) number(micros int64) int64 {
	if c.fixed {
		micros -= anchor
	}
	return floorDiv(micros, c.width())
}

// first is the oldest bucket that counts at a time.
func (c *Counter) first(micros int64) int64 {
	if c.fixed {
		return c.number(micros)
	}
	return c.number(micros - c.window)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Use is what the window holds that ends at a time, or that a time is in.
func (c *Counter) Use(at time.Time) Use {
	var u Use
	first := c.first(micros(at))
	for _, b := range c.buckets {
		if b.number >= first {
			u = Use{u.Calls + b.Calls, plus(u.Spent, b.Spent), plus(u.Reserved, b.Reserved), u.Unpriced + b.Unpriced}
		}
	}
	return u
}

// Next is when the window holds less than at a time if nothing more is counted: zero when it holds nothing.
func (c *Counter) Next(at time.Time) time.Time {
	first := c.first(micros(at))
	for _, b := range c.buckets {
		if b.number < first {
			continue
		}
		if c.fixed {
			return time.UnixMicro((b.number+1)*c.window + anchor).UTC()
		}
		return time.UnixMicro((b.number+1)*c.width() + c.window).UTC()
	}
	return time.Time{}
}

// Full says that a charge is more than is left at a time.
func (c *Counter) Full(at time.Time, charge Charge) bool { return charge.Over(c.Used(at)) }

// Used is how much of the limit is used at a time: calls, or micro-USD of a budget.
func (c *Counter) Used(at time.Time) int64 {
	u := c.Use(at)
	if c.money {
		return u.Micro()
	}
	return u.Calls
}

// Money says that it counts money, not calls.
func (c *Counter) Money() bool { return c.money }

// WindowSeconds is how long its windows are.
func (c *Counter) WindowSeconds() int64 { return c.window / 1_000_000 }

// Warn is how much used is worth telling people, and when that was last so.
func (c *Counter) Warn() (level int64, at time.Time) { return c.warn, time.UnixMicro(c.warned).UTC() }

// Add counts a charge. warn says that people are to be told how much is used.
func (c *Counter) Add(at time.Time, charge Charge) (warn bool) {
	now := micros(at)
	c.drop(c.first(now))
	number := c.number(now)
	last := len(c.buckets) - 1
	if last < 0 || c.buckets[last].number < number {
		c.buckets = append(c.buckets, bucket{number: number})
		last++
	}
	b := &c.buckets[last]
	b.Calls++
	if c.money {
		b.Reserved = plus(b.Reserved, charge.Micro)
	}
	c.warn = (charge.Max()*charge.WarnAt + 99) / 100
	return c.crossed(now, c.Used(at))
}

// drop forgets what is out of the window for good.
func (c *Counter) drop(first int64) {
	n := 0
	for n < len(c.buckets) && c.buckets[n].number < first {
		n++
	}
	c.buckets = append(c.buckets[:0], c.buckets[n:]...)
}

// crossed says once in a window that more is used than people want to hear of.
func (c *Counter) crossed(now, used int64) bool {
	if c.warn == 0 || used < c.warn {
		return false
	}
	if c.warned > 0 && (c.fixed && c.number(c.warned) == c.number(now) || !c.fixed && now-c.warned < c.window) {
		return false
	}
	c.warned = now
	return true
}

// Settle puts what a call came to in the place of what was reserved for it when it was decided, unless that is out of the window:
// then nothing holds it any more. now is when the result is recorded. Settling twice is what its caller has to make impossible.
func (c *Counter) Settle(decided, now time.Time, held, micro int64, unpriced bool) (warn bool) {
	number := c.number(micros(decided))
	for i := range c.buckets {
		b := &c.buckets[i]
		if b.number != number {
			continue
		}
		b.Reserved = max(b.Reserved-held, 0)
		b.Spent = plus(b.Spent, micro)
		if unpriced {
			b.Unpriced++
		}
		return c.crossed(micros(now), c.Used(now))
	}
	return false
}

// form is the first number of an encoded counter.
const form = 1

const (
	flagFixed = 1 << iota
	flagMoney
)

// Append appends the counter's form, which is small: every commit that counts writes it. It is one JSON array of whole numbers:
// form, window, flags, warn, warned, and for each bucket by how much its number is greater than the one before, calls, spent,
// reserved, unpriced.
func (c *Counter) Append(dst []byte) []byte {
	flags := int64(0)
	if c.fixed {
		flags |= flagFixed
	}
	if c.money {
		flags |= flagMoney
	}
	dst = append(dst, '[')
	for _, n := range [...]int64{form, c.window, flags, c.warn} {
		dst = append(strconv.AppendInt(dst, n, 10), ',')
	}
	dst = strconv.AppendInt(dst, c.warned, 10)
	before := int64(0)
	for _, b := range c.buckets {
		for _, n := range [...]int64{b.number - before, b.Calls, b.Spent, b.Reserved, b.Unpriced} {
			dst = strconv.AppendInt(append(dst, ','), n, 10)
		}
		before = b.number
	}
	return append(dst, ']')
}

// headFields and bucketFields are how many numbers come before the buckets, and with each.
const (
	headFields   = 5
	bucketFields = 5
)

var errForm = errors.New("is not a counter that this version knows")

// Parse reads what Append made.
func Parse(data []byte) (Counter, error) {
	var room [headFields + bucketFields*bucketsMax]int64
	numbers, ok := readNumbers(data, room[:0])
	if !ok || len(numbers) < headFields || (len(numbers)-headFields)%bucketFields != 0 || numbers[0] != form || numbers[1] <= 0 {
		return Counter{}, errForm
	}
	flags := numbers[2]
	c := Counter{window: numbers[1], fixed: flags&flagFixed != 0, money: flags&flagMoney != 0, warn: numbers[3], warned: numbers[4]}
	c.buckets = make([]bucket, 0, (len(numbers)-headFields)/bucketFields+1)
	number := int64(0)
	for rest := numbers[headFields:]; len(rest) > 0; rest = rest[bucketFields:] {
		number += rest[0]
		c.buckets = append(c.buckets, bucket{number, Use{rest[1], rest[2], rest[3], rest[4]}})
	}
	return c, nil
}

// readNumbers reads an array of whole numbers, no more than into has room for.
func readNumbers(data []byte, into []int64) ([]int64, bool) {
	if len(data) < 2 || data[0] != '[' || data[len(data)-1] != ']' {
		return nil, false
	}
	data = data[1 : len(data)-1]
	for from := 0; from <= len(data); {
		to := from
		for to < len(data) && data[to] != ',' {
			to++
		}
		n, err := strconv.ParseInt(string(data[from:to]), 10, 64)
		if err != nil || len(into) == cap(into) {
			return nil, false
		}
		into = append(into, n)
		from = to + 1
	}
	return into, true
}
