package detect

import (
	"math"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// series counts events in windows that stand one after the other, and in the spans of several that end with the newest.
type series struct {
	Window  int64              `json:"window"`         // seconds; another window begins anew
	Now     int64              `json:"now"`            // number of the window that is counted: seconds since 1970 by Window
	Count   int64              `json:"count"`          // in it
	Past    []past             `json:"past,omitempty"` // the windows before it that had any, as far back as the longest span, oldest first
	Done    float64            `json:"done"`           // events in the windows before it
	Exposed float64            `json:"exposed"`        // how many usual windows those were, by the profile of the week
	Windows float64            `json:"windows"`        // how many they were
	Spans   [spanCount]stretch `json:"spans"`
	Fired   bool               `json:"fired,omitzero"`
	Rests   []gov.EntryID      `json:"rests,omitempty"` // the newest events of the window
}

// past is a window that is over.
type past struct {
	Window int64 `json:"w"`
	Count  int64 `json:"n"`
}

// stretch is a number of windows up to the one that is counted.
type stretch struct {
	Before int64   `json:"before"` // events in it, but for those of the window that is counted
	Mean   float64 `json:"mean"`   // how many were to be expected in all of it
	Quiet  int64   `json:"quiet"`  // it fires in no window below this number

	// How far spans one after the other were from what was expected of them: what they vary in beyond chance.
	Counted  float64 `json:"counted"` // in the present one of these
	Expected float64 `json:"expected"`
	Excess   float64 `json:"excess"` // sum of (counted - expected)² - expected
	Scale    float64 `json:"scale"`  // sum of expected²
}

// The spans: with windows of ten minutes these, an hour, six, and a day. What is slight in a window adds up over a longer time.
const spanCount = 4

func spanWindows() [spanCount]int64 { return [spanCount]int64{1, 6, 36, 144} }

// The model: events come as often as they did, by the hour of the week as the organization's do, and in bursts as they did. Before an
// agent has a history, as often as agentsUsual say, with little weight.
const (
	memory      = 4032.0 // windows after which the past counts half: four weeks of ten minutes
	priorShape  = 0.5    // weight of what is usual for an agent without a history
	priorCount  = 1.0    // events in a window, if nobody has a history
	burstBefore = 0.2    // how bursty an agent without a history is: 1/shape of the distribution
	burstWeight = 5.0    // spans that this counts as
	burstMin    = 0.01
	burstMax    = 2.0
	cap4        = 4.0 // a window that fired counts as at most so many times what was expected
	skipMax     = 1008
	wideSquared = 9.0 // variances: what is further from the mean counts as that far
	farSquared  = 4.0 // variances: what is nearer to the mean is not looked at more closely
)

// add counts an event.
func (s *series) add(at time.Time, window int64, week *profile, usual float64, id gov.EntryID) {
	if now := at.Unix() / window; window != s.Window {
		*s = series{Window: window, Now: now}
		s.look(week, usual)
	} else if now > s.Now { // a time before it counts in it
		s.advance(now, week, usual)
		s.look(week, usual)
	}
	s.Count++
	s.Rests = newest(s.Rests, id)
}

// spike is a span with too many events.
type spike struct {
	count    int64
	expected float64
	p        float64 // of at least so many
	windows  int64
	index    int // of the span
}

// unlikely looks for a span with so many events that it happens less than once in so many of the longest, the shortest first. One that
// was found is not found again until as much time has passed.
func (s *series) unlikely(least, oneIn int64) (spike, bool) {
	longest := spanWindows()[spanCount-1]
	for i, windows := range spanWindows() {
		enough := 1 / float64(oneIn*longest/windows)
		o := &s.Spans[i]
		n := o.Before + s.Count
		over := float64(n) - o.Mean
		if n < least || over <= 0 || s.Now < o.Quiet {
			continue
		}
		if float64(over*over) < float64(farSquared*o.variance(o.Mean, s.Done)) {
			continue
		}
		if p := tail(n, o.Mean, 1/o.burst(o.Mean, s.Done), enough); p < enough {
			return spike{n, o.Mean, p, windows, i}, true
		}
	}
	return spike{}, false
}

// found remembers that a spike was told of. The longer spans have what it has, and say nothing of it for as long.
func (s *series) found(k spike) {
	s.Fired = true
	for i, windows := range spanWindows() {
		if i >= k.index {
			s.Spans[i].Quiet = s.Now + windows
		}
	}
}

// advance closes windows until the one at number now.
func (s *series) advance(now int64, week *profile, usual float64) {
	for skipped := 0; s.Now < now; skipped++ {
		if skipped == skipMax { // so long a silence is not counted window by window
			rest := float64(now - s.Now)
			s.Exposed, s.Windows = s.Exposed+rest, s.Windows+rest
			s.Now = now
			for i := range s.Spans {
				s.Spans[i].Counted, s.Spans[i].Expected = 0, 0
			}
			break
		}
		s.close(week, usual)
	}
	if s.Windows > memory {
		s.Done, s.Exposed, s.Windows = s.Done/2, s.Exposed/2, s.Windows/2
		for i := range s.Spans {
			s.Spans[i].Excess, s.Spans[i].Scale = s.Spans[i].Excess/2, s.Spans[i].Scale/2
		}
	}
}

// close ends the window that is counted.
func (s *series) close(week *profile, usual float64) {
	factor := week.factor(s.Now * s.Window)
	mean := float64(s.rate(usual) * factor)
	count := float64(s.Count)
	if s.Fired {
		count = math.Min(count, math.Ceil(float64(cap4*mean)))
	}
	if s.Count > 0 {
		s.Past = append(s.Past, past{s.Now, s.Count})
	}
	s.Done += count
	s.Exposed += factor
	s.Windows++
	s.Count, s.Fired, s.Rests = 0, false, nil
	s.Now++
	for i, windows := range spanWindows() {
		o := &s.Spans[i]
		o.Counted, o.Expected = o.Counted+count, o.Expected+mean
		if s.Now%windows == 0 {
			off := o.Counted - o.Expected
			wide := float64(wideSquared * o.variance(o.Expected, s.Done)) // a spike that was is no burst to be used to
			o.Excess += math.Min(float64(off*off), wide) - math.Min(o.Counted, o.Expected+math.Sqrt(wide))
			o.Scale += float64(o.Expected * o.Expected)
			o.Counted, o.Expected = 0, 0
		}
	}
}

// look works out, for a window that begins, what was in its spans before it and what is to be expected in them.
func (s *series) look(week *profile, usual float64) {
	lengths, rate := spanWindows(), s.rate(usual)
	oldest := s.Now - lengths[spanCount-1]
	s.Past = s.Past[slices.IndexFunc(append(s.Past, past{Window: s.Now}), func(p past) bool { return p.Window > oldest }):]
	for i := range s.Spans {
		s.Spans[i].Before = 0
	}
	for _, p := range s.Past {
		for i, windows := range lengths {
			if p.Window > s.Now-windows {
				s.Spans[i].Before += p.Count
			}
		}
	}
	exposed, i := 0.0, 0
	for back := int64(0); i < spanCount; back++ {
		exposed += week.factor((s.Now - back) * s.Window)
		if back+1 == lengths[i] {
			s.Spans[i].Mean = float64(rate * exposed)
			i++
		}
	}
}

// rate is how many events a usual window has.
func (s *series) rate(usual float64) float64 {
	if usual <= 0 {
		usual = priorCount
	}
	return (priorShape + s.Done) / (float64(priorShape/usual) + s.Exposed)
}

// burst is how far a stretch's count varies beyond chance (its distribution is negative binomial: variance mean + burst mean²): as much
// as stretches did, and by how little is known of the rate of an agent with so many events.
func (o *stretch) burst(mean, events float64) float64 {
	weight := float64(burstWeight * float64(mean*mean))
	burst := (float64(burstBefore*weight) + o.Excess) / (weight + o.Scale)
	return math.Min(burstMax, math.Max(burstMin, burst)) + 1/(priorShape+events)
}

func (o *stretch) variance(mean, events float64) float64 {
	return mean + float64(float64(mean*mean)*o.burst(mean, events))
}

// tailTermsMax bounds the sum of a tail.
const tailTermsMax = 20_000

// tail is the probability of at least k under a negative binomial distribution, or something from enough up if it is that. Products
// are rounded before they are added, so that no machine fuses the two.
func tail(k int64, mean, shape, enough float64) float64 {
	q := mean / (shape + mean)
	a, _ := math.Lgamma(float64(k) + shape)
	b, _ := math.Lgamma(float64(k) + 1)
	c, _ := math.Lgamma(shape)
	logs := a - b - c + float64(shape*math.Log(shape/(shape+mean))) + float64(float64(k)*math.Log(q))
	term := math.Exp(logs)
	sum := term
	for i := k; i < k+tailTermsMax; i++ {
		term *= float64((float64(i)+shape)/float64(i+1)) * q
		if sum += term; sum >= enough || term < sum*1e-12 {
			break
		}
	}
	return math.Min(1, sum)
}

// profile is how the organization's calls spread over the hours of a week. Of an hour that was seldom seen, as many are expected as
// at that hour of other days; of one that was never seen on any day, as many as at others.
type profile struct {
	Week hours   `json:"week"` // by the hour of the week
	Day  hours   `json:"day"`  // by the hour of the day
	Last int64   `json:"last"` // hour since 1970
	All  float64 `json:"all"`  // calls
	Seen float64 `json:"seen"` // hours
}

// hours counts by hour.
type hours struct {
	Calls []float64 `json:"calls"`
	Seen  []float64 `json:"seen"` // how often each hour was
}

const (
	hoursOfDay    = 24
	hoursOfWeek   = 168
	profileShrink = 4.0 // hours' worth of belief that an hour is like those that are like it
	secondsHour   = 3600
	factorMin     = 0.05
)

// hourOf is an hour of the week, from Thursday 00:00 UTC on, as 1970 began, or of the day.
func hourOf(hour, of int64) int64 { return ((hour % of) + of) % of }

// add counts a call.
func (p *profile) add(at time.Time) {
	hour := at.Unix() / secondsHour
	if p.All == 0 {
		p.Week = hours{make([]float64, hoursOfWeek), make([]float64, hoursOfWeek)}
		p.Day = hours{make([]float64, hoursOfDay), make([]float64, hoursOfDay)}
	}
	if p.Last == 0 || hour-p.Last > 8*hoursOfWeek {
		p.Last = hour - 1
	}
	for p.Last < hour {
		p.Last++
		p.Week.Seen[hourOf(p.Last, hoursOfWeek)]++
		p.Day.Seen[hourOf(p.Last, hoursOfDay)]++
		p.Seen++
	}
	p.Week.Calls[hourOf(hour, hoursOfWeek)]++
	p.Day.Calls[hourOf(hour, hoursOfDay)]++
	p.All++
}

// factor is how much busier than the average the hour of a time is, in seconds since 1970.
func (p *profile) factor(at int64) float64 {
	if p.All == 0 || p.Seen == 0 {
		return 1
	}
	average := p.All / p.Seen
	hour := at / secondsHour
	day := p.Day.rate(hourOf(hour, hoursOfDay), average)
	return math.Max(factorMin, p.Week.rate(hourOf(hour, hoursOfWeek), day)/average)
}

// rate is how many calls an hour has, where others like it have so many.
func (h *hours) rate(hour int64, like float64) float64 {
	return (h.Calls[hour] + float64(profileShrink*like)) / (h.Seen[hour] + profileShrink)
}
