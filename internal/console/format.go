package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/limit"
)

// templates are those of pages, each with the frame and the parts that pages share. Each is parsed when it is first shown: a server that
// nobody looks at does not hold them all.
type templates struct {
	mu     sync.Mutex
	funcs  template.FuncMap
	parsed map[string]*template.Template
}

// get gives a page. There is none without a template, and a template that does not parse is a mistake in the program.
func (t *templates) get(name string) *template.Template {
	t.mu.Lock()
	defer t.mu.Unlock()
	page, ok := t.parsed[name]
	if !ok {
		page = template.Must(template.New(name).Funcs(t.funcs).ParseFS(files, "templates/base.html", "templates/parts.html", "templates/"+name+".html"))
		t.parsed[name] = page
	}
	return page
}

func (s *Server) funcs() template.FuncMap {
	markdown := newMarkdown()
	return template.FuncMap{
		"when": when, "ago": s.ago, "left": s.left, "short": short, "tail": tail, "mark": mark, "json": indented, "chart": chart, "link": link, "words": words, "count": count, "usd": usd, "window": limit.Span, "share": share, "percent": percent, "seconds": seconds,
		"outcome": outcomeOf, "state": stateOf, "person": s.name, "madefor": s.madeFor, "list": func(v ...any) []any { return v }, "text": func(v any) string { return fmt.Sprint(v) },
		"add": func(a, b int) int { return a + b }, "pick": pick, "first": firstOf, "has": has,
		"split": func(s string) []string { return strings.Split(s, "/") }, "principal": principalOf, "linesof": linesOf,
		"scope": s.scopeOf, "severity": severityOf, "incidentstate": incidentStateOf, "health": healthOf, "held": heldOf, "threshold": thresholdOf, "stepword": stepWord, "refto": refTo, "millis": millis, "took": took, "moment": moment, "kindof": kindOf, "markdown": func(text string) (template.HTML, error) { return prose(markdown, text) },
		"base": func() string { return s.People.URL },
	}
}

func parseTime(v any) (time.Time, bool) {
	switch t := v.(type) {
	case time.Time:
		return t, !t.IsZero()
	case string:
		at, err := time.Parse(canon.TimeLayout, t)
		return at, err == nil
	}
	return time.Time{}, false
}

// when is a time for people to read, to the second. The page's element has it whole.
func when(v any) string {
	t, ok := parseTime(v)
	if !ok {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// ago says how long ago a time was.
func (s *Server) ago(v any) string {
	t, ok := parseTime(v)
	if !ok {
		return "never"
	}
	d := s.Now().Sub(t)
	if d < 0 {
		return "just now"
	}
	return span(d) + " ago"
}

// left says how long there is until a time.
func (s *Server) left(v any) string {
	t, ok := parseTime(v)
	if !ok {
		return ""
	}
	d := t.Sub(s.Now())
	if d < 0 {
		return "over"
	}
	return span(d) + " left"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + " days"
}

const shortChars = 12

// short is the beginning of a digest or of an id, behind its prefix.
func short(v any) string {
	s := strings.TrimPrefix(fmt.Sprint(v), "sha256:")
	return s[:min(len(s), shortChars)]
}

// tail is the end of an id, which is random: the beginning counts.
func tail(v any) string {
	s := fmt.Sprint(v)
	return "…" + s[max(0, len(s)-shortChars):]
}

// mark is the badge of a check.
func mark(held bool) badge {
	if held {
		return badge{"good", "✓", "yes"}
	}
	return badge{"wait", "!", "look"}
}

// indented is JSON for people to read.
func indented(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return string(data)
	}
	return out.String()
}

// link is an address of the console: a path and pairs of names and values, of which the empty ones are left out.
func link(to string, pairs ...any) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if value := fmt.Sprint(pairs[i+1]); value != "" {
			q.Set(fmt.Sprint(pairs[i]), value)
		}
	}
	if len(q) == 0 {
		return Root + to
	}
	return Root + to + "?" + q.Encode()
}

// words joins a list of anything.
func words(v any) string {
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return fmt.Sprint(v)
	}
	var out []string
	for i := range list.Len() {
		out = append(out, fmt.Sprint(list.Index(i).Interface()))
	}
	return strings.Join(out, ", ")
}

// count is a number with thin spaces between thousands.
func count(v any) string {
	s := fmt.Sprint(v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// usd is an amount of money for people to read.
func usd(v any) string {
	micro := reflect.Indirect(reflect.ValueOf(v))
	if !micro.CanInt() {
		return ""
	}
	whole, part, _ := strings.Cut(limit.Dollars(micro.Int()), ".")
	if part == "" {
		return count(whole)
	}
	return count(whole) + "." + part + strings.Repeat("0", max(2-len(part), 0))
}

// share is a percentage of a number, from which on it is much; without one, the number.
func share(of any, percent int64) int64 {
	n, ok := of.(int64)
	if !ok || percent == 0 {
		return n
	}
	return (n*percent + 99) / 100
}

// percent is a share for people to read, to the tenth.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

// seconds is a number of seconds for people to read: to the tenth where that matters.
func seconds(n float64) string {
	if d := time.Duration(n * float64(time.Second)); d >= time.Minute {
		return span(d)
	}
	return strconv.FormatFloat(n, 'f', 1, 64) + " s"
}

// millis is a number of milliseconds for people to read.
func millis(n float64) string { return strconv.FormatFloat(n, 'f', 1, 64) + " ms" }

// took is a time that something took, to the millisecond where that matters.
func took(millis int64) string {
	if millis < 1000 {
		return strconv.FormatInt(millis, 10) + " ms"
	}
	return seconds(float64(millis) / 1000)
}

// moment is a time to the millisecond, for what is over in a second.
func moment(v any) string {
	t, ok := parseTime(v)
	if !ok {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

// scopeOf says what a switch stops, for the visitor of a page.
func (s *Server) scopeOf(p page, scope gov.SwitchScope) string {
	if scope.Principal != "" {
		return "principal " + s.madeFor(p, scope.Principal)
	}
	return scope.String()
}

func pick(condition bool, yes, no any) any {
	if condition {
		return yes
	}
	return no
}

func firstOf(v any) any {
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.Len() > 0 {
		return list.Index(0).Interface()
	}
	return nil
}

func has(list any, item any) bool {
	v := reflect.ValueOf(list)
	for i := range v.Len() {
		if fmt.Sprint(v.Index(i).Interface()) == fmt.Sprint(item) {
			return true
		}
	}
	return false
}

// badge is a state with a sign and a colour; the word alone says it too.
type badge struct {
	Class string
	Sign  string
	Word  string
}

func outcomeOf(v any) badge {
	switch gov.Outcome(fmt.Sprint(v)) {
	case gov.OutcomeAllow:
		return badge{"good", "✓", "allowed"}
	case gov.OutcomeDeny:
		return badge{"bad", "✕", "denied"}
	case gov.OutcomeRequireApproval:
		return badge{"wait", "?", "needs approval"}
	}
	return badge{"calm", "·", fmt.Sprint(v)}
}

// stateOf is the badge of a state of a request, a change, a person or a result.
func stateOf(v any) badge {
	word := strings.ReplaceAll(fmt.Sprint(v), "_", " ")
	switch fmt.Sprint(v) {
	case "approved", "granted", "consumed", "activated", "active", "succeeded", "approve", "done":
		return badge{"good", "✓", word}
	case "engaged", "stopped":
		return badge{"bad", "■", word}
	case "denied", "rejected", "removed", "failed", "deny", "revoked":
		return badge{"bad", "✕", word}
	case "pending", "proposed", "invited":
		return badge{"wait", "?", word}
	case "running":
		return badge{"wait", "●", word}
	case "review_owed":
		return badge{"wait", "!", word}
	}
	return badge{"calm", "·", word}
}

// name is who a reference stands for, for the visitor of a page.
func (s *Server) name(p page, ref any) string {
	id := fmt.Sprint(ref)
	if known, ok := p.visit.names[id]; ok {
		return known
	}
	if p.visit.names == nil {
		p.visit.names = map[string]string{}
	}
	p.visit.names[id] = s.askName(p.visit, id)
	return p.visit.names[id]
}

func (s *Server) askName(v *visit, ref string) string {
	known, err := as[struct {
		Principal string `json:"principal"`
		Name      string `json:"name"`
	}](s.get(v, "/v1/people/"+url.PathEscape(ref)))
	switch {
	case err != nil:
		return short(ref)
	case known.Name != "":
		return known.Name
	}
	return strings.TrimPrefix(known.Principal, "user:")
}

// principalOf is a payload's principal: type and name.
func principalOf(v any) string {
	p, err := as[struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}](v, nil)
	if err != nil {
		return ""
	}
	return p.Type + " " + p.ID
}

// bar is one interval of a chart: heights in the chart's own units, from the bottom up.
type bar struct {
	X, Width                 float64
	AllowY, AllowHeight      float64
	DenyY, DenyHeight        float64
	ApprovalY, ApprovalHeigh float64
	Label                    string
}

// plot is decisions over time as stacked bars.
type plot struct {
	Width, Height float64
	Bars          []bar
	Most          int64
	From, To      string
	Summary       string
}

const (
	plotWidth  = 960.0
	plotHeight = 160.0
)

// chart makes the plot of the API's statistics.
func chart(stats any) (plot, error) {
	type bucket struct {
		From            string `json:"from"`
		Allow           int64  `json:"allow"`
		Deny            int64  `json:"deny"`
		RequireApproval int64  `json:"require_approval"`
	}
	in, err := as[struct {
		From    string   `json:"from"`
		To      string   `json:"to"`
		Buckets []bucket `json:"buckets"`
		Total   bucket   `json:"total"`
	}](stats, nil)
	if err != nil || len(in.Buckets) == 0 {
		return plot{}, errors.Join(err, errors.New("no statistics"))
	}
	p := plot{Width: plotWidth, Height: plotHeight, From: when(in.From), To: when(in.To)}
	p.Summary = fmt.Sprintf("%d allowed, %d denied, %d needed approval", in.Total.Allow, in.Total.Deny, in.Total.RequireApproval)
	for _, b := range in.Buckets {
		p.Most = max(p.Most, b.Allow+b.Deny+b.RequireApproval)
	}
	step := plotWidth / float64(len(in.Buckets))
	for i, b := range in.Buckets {
		y := plotHeight
		height := func(n int64) (float64, float64) {
			h := plotHeight * float64(n) / float64(max(p.Most, 1))
			y -= h
			return y, h
		}
		out := bar{X: float64(i) * step, Width: step * 0.8}
		out.AllowY, out.AllowHeight = height(b.Allow)
		out.ApprovalY, out.ApprovalHeigh = height(b.RequireApproval)
		out.DenyY, out.DenyHeight = height(b.Deny)
		out.Label = fmt.Sprintf("%s: %d allowed, %d denied, %d needed approval", when(b.From), b.Allow, b.Deny, b.RequireApproval)
		p.Bars = append(p.Bars, out)
	}
	return p, nil
}
