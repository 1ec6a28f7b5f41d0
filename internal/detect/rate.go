package detect

import (
	"math"
	"time"

	"github.com/writ-dev/writ/internal/gov"
)

// series counts events in windows that stand one after the other.
type series struct {
	Window  int64         `json:"window"`  // seconds; another window begins anew
	Now     int64         `json:"now"`     // number of the window that is counted: seconds since 1970 by Window
	Count   int64         `json:"count"`   // in it
	Done    float64       `json:"done"`    // events in the windows before it
	Exposed float64       `json:"exposed"` // how many usual windows those were, by the profile of the week
	Windows float64       `json:"windows"` // how many they were
	Squares float64       `json:"squares"` // sum of the squares of their counts
	Fired   bool          `json:"fired,omitzero"`
	Rests   []gov.EntryID `json:"rests,omitempty"` // the newest events of the window
}

// The model: events come as often as they did, by the hour of the week as the organization's do, and in bursts as they did. Before an
// agent has a history, as often as agentsUsual say, with little weight.
const (
	memory      = 4032.0 // windows after which the past counts half: four weeks of ten minutes
	priorShape  = 0.5    // weight of what is usual for an agent without a history
	priorCount  = 1.0    // events in a window, if nobody has a history
	shapeMin    = 0.5
	shapeMax    = 100.0
	shapeNeeds  = 50.0 // windows before bursts are judged from the history
	shapeBefore = 5.0
	cap4        = 4.0 // a window that fired counts as at most so many times what was expected
	skipMax     = 1008
)

// add counts an event.
func (s *series) add(at time.Time, window int64, week *profile, usual float64, id gov.EntryID) {
	if window != s.Window {
		*s = series{Window: window, Now: at.Unix() / window}
	}
	s.advance(at.Unix()/window, week, usual)
	s.Count++
	s.Rests = newest(s.Rests, id)
}

// unlikely says whether so many events are in the window that it happens less than once in so many windows: p is the probability of
// at least as many, expected how many there should be. A window is unlikely once.
func (s *series) unlikely(at time.Time, week *profile, usual float64, oneIn int64) (p, expected float64, ok bool) {
	mean, shape := s.expect(at, week, usual)
	if float64(s.Count) <= mean {
		return 1, mean, false
	}
	enough := 1 / float64(oneIn)
	p = tail(s.Count, mean, shape, enough)
	return p, mean, p < enough
}

// advance closes windows until the one at number now. A time before it counts in it.
func (s *series) advance(now int64, week *profile, usual float64) {
	if now <= s.Now {
		return
	}
	for skipped := 0; s.Now < now; skipped++ {
		if skipped == skipMax { // so long a silence is not counted window by window
			rest := float64(now - s.Now)
			s.Exposed, s.Windows = s.Exposed+rest, s.Windows+rest
			s.Now = now
			break
		}
		at := time.Unix(s.Now*s.Window, 0)
		count := float64(s.Count)
		if s.Fired {
			mean, _ := s.expect(at, week, usual)
			count = math.Min(count, math.Ceil(float64(cap4*mean)))
		}
		s.Done += count
		s.Squares += float64(count * count)
		s.Exposed += week.factor(at)
		s.Windows++
		s.Count, s.Fired, s.Rests = 0, false, nil
		s.Now++
	}
	if s.Windows > memory {
		s.Done, s.Squares, s.Exposed, s.Windows = s.Done/2, s.Squares/2, s.Exposed/2, s.Windows/2
	}
}

// expect is the mean of a window's count and the shape of its distribution (negative binomial: variance mean + mean²/shape), from
// the windows before it.
func (s *series) expect(at time.Time, week *profile, usual float64) (mean, shape float64) {
	if usual <= 0 {
		usual = priorCount
	}
	rate := (priorShape + s.Done) / (float64(priorShape/usual) + s.Exposed)
	mean = float64(rate * week.factor(at))
	certain := priorShape + s.Done // the posterior of a rate that was seen so often
	burst := shapeBefore
	if s.Windows >= shapeNeeds {
		m := s.Done / s.Windows
		v := s.Squares/s.Windows - float64(m*m)
		burst = shapeMax
		if v > m {
			burst = math.Min(shapeMax, math.Max(shapeMin, float64(m*m)/(v-m)))
		}
	}
	return mean, math.Min(certain, burst)
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

// profile is how the organization's calls spread over the hours of a week.
type profile struct {
	Calls [hoursOfWeek]float64 `json:"calls"`
	Hours [hoursOfWeek]float64 `json:"hours"` // how often each hour was seen
	Last  int64                `json:"last"`  // hour since 1970
	All   float64              `json:"all"`   // calls
	Seen  float64              `json:"seen"`  // hours
}

const (
	hoursOfWeek   = 168
	profileShrink = 4.0 // hours' worth of belief that an hour is like any other
	secondsHour   = 3600
	factorMin     = 0.05
)

// hourOf is the hour of the week, from Thursday 00:00 UTC on, as 1970 began.
func hourOf(hour int64) int64 { return ((hour % hoursOfWeek) + hoursOfWeek) % hoursOfWeek }

// add counts a call.
func (p *profile) add(at time.Time) {
	hour := at.Unix() / secondsHour
	if p.Last == 0 || hour-p.Last > 8*hoursOfWeek {
		p.Last = hour
		p.Hours[hourOf(hour)]++
		p.Seen++
	}
	for p.Last < hour {
		p.Last++
		p.Hours[hourOf(p.Last)]++
		p.Seen++
	}
	p.Calls[hourOf(hour)]++
	p.All++
}

// factor is how much busier than the average the hour of a time is. An hour that was not seen yet is like any other.
func (p *profile) factor(at time.Time) float64 {
	if p.All == 0 || p.Seen == 0 {
		return 1
	}
	average := p.All / p.Seen
	h := hourOf(at.Unix() / secondsHour)
	rate := (p.Calls[h] + float64(profileShrink*average)) / (p.Hours[h] + profileShrink)
	return math.Max(factorMin, rate/average)
}
