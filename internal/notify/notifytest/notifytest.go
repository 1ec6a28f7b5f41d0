// Package notifytest is PagerDuty and Alertmanager as tests have them: servers that refuse whatever the documented formats do not
// allow, and remember what the real ones would show. They stand in because the real ones cannot run here.
package notifytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

const bodyBytesMax = 512 << 10

// Page is an alert of PagerDuty: what rang, and how it stands.
type Page struct {
	Key      string
	Status   string // triggered, acknowledged or resolved
	Severity string
	Rang     int // how often it began to ring: again only after it was resolved
	Summary  string
	Details  map[string]any
}

// PagerDuty takes events of the Events API v2 for one integration.
type PagerDuty struct {
	*httptest.Server

	t     testing.TB
	key   string
	mu    sync.Mutex
	down  bool
	pages []*Page
	log   []string
}

// NewPagerDuty starts one whose routing key is the given one.
func NewPagerDuty(t testing.TB, key string) *PagerDuty {
	p := &PagerDuty{t: t, key: key}
	p.Server = httptest.NewServer(http.HandlerFunc(p.take))
	t.Cleanup(p.Close)
	return p
}

// Down has it answer 503 until it is up again.
func (p *PagerDuty) Down(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Pages is what it shows, oldest first.
func (p *PagerDuty) Pages() []Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Page, len(p.pages))
	for i, page := range p.pages {
		out[i] = *page
	}
	return out
}

// Log is every event that it took: "trigger KEY".
func (p *PagerDuty) Log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

func (p *PagerDuty) take(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyBytesMax+1))
	if err != nil {
		p.t.Error(err)
	}
	e, wrong := readEvent(body)
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/v2/enqueue" || r.Header.Get("Content-Type") != "application/json":
		wrong = append(wrong, fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type")))
	case len(body) > bodyBytesMax:
		wrong = append(wrong, "the body is over 512 KB")
	}
	w.Header().Set("Content-Type", "application/json")
	if len(wrong) > 0 || e.text("routing_key") != p.key {
		if len(wrong) > 0 {
			p.t.Errorf("an event is no event of the Events API v2: %s\n%s", strings.Join(wrong, "; "), body)
		}
		w.WriteHeader(http.StatusBadRequest)
		answer(p.t, w, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": wrong})
		return
	}
	p.apply(e)
	w.WriteHeader(http.StatusAccepted)
	answer(p.t, w, map[string]any{"status": "success", "message": "Event processed", "dedup_key": e.text("dedup_key")})
}

// apply does what the documentation says of each action. An event about a page that is not open is dropped.
func (p *PagerDuty) apply(e object) {
	key := e.text("dedup_key")
	p.log = append(p.log, e.text("event_action")+" "+key)
	i := slices.IndexFunc(p.pages, func(page *Page) bool { return page.Key == key })
	if i < 0 {
		if e.text("event_action") != "trigger" {
			return
		}
		i = len(p.pages)
		p.pages = append(p.pages, &Page{Key: key, Status: "resolved"})
	}
	page := p.pages[i]
	switch e.text("event_action") {
	case "trigger":
		if page.Status == "resolved" {
			page.Status = "triggered"
			page.Rang++
		}
		payload, _ := e["payload"].(map[string]any)
		page.Severity, page.Summary = object(payload).text("severity"), object(payload).text("summary")
		page.Details, _ = payload["custom_details"].(map[string]any)
	case "acknowledge":
		if page.Status == "triggered" {
			page.Status = "acknowledged"
		}
	case "resolve":
		page.Status = "resolved"
	}
}

// object is JSON whose members are checked one by one.
type object map[string]any

func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// check says what is wrong with members: each must be known, of its type and within its length.
func (o object) check(where string, known map[string]func(any) string, required ...string) []string {
	var wrong []string
	for _, name := range required {
		if _, ok := o[name]; !ok {
			wrong = append(wrong, where+name+" is missing")
		}
	}
	for name, value := range o {
		fits, ok := known[name]
		if !ok {
			wrong = append(wrong, where+name+" is not known")
			continue
		}
		if what := fits(value); what != "" {
			wrong = append(wrong, where+name+" "+what)
		}
	}
	return wrong
}

func text(least, most int) func(any) string {
	return func(v any) string {
		s, ok := v.(string)
		if n := utf8.RuneCountInString(s); !ok || n < least || n > most {
			return fmt.Sprintf("is no text of %d to %d characters: %v", least, most, v)
		}
		return ""
	}
}

func oneOf(words ...string) func(any) string {
	return func(v any) string {
		if s, ok := v.(string); !ok || !slices.Contains(words, s) {
			return fmt.Sprintf("is %v, none of %v", v, words)
		}
		return ""
	}
}

func date(v any) string {
	s, _ := v.(string)
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return fmt.Sprintf("is no date-time: %v", v)
	}
	return ""
}

func address(v any) string {
	s, _ := v.(string)
	if u, err := url.Parse(s); err != nil || u.Scheme == "" || u.Host == "" {
		return fmt.Sprintf("is no URI: %v", v)
	}
	return ""
}

func mapping(v any) string {
	if _, ok := v.(map[string]any); !ok {
		return "is no object"
	}
	return ""
}

func links(v any) string {
	list, ok := v.([]any)
	if !ok {
		return "is no list"
	}
	for _, item := range list {
		link, _ := item.(map[string]any)
		if wrong := object(link).check("link.", map[string]func(any) string{"href": address, "text": text(1, 1024)}, "href"); len(wrong) > 0 {
			return strings.Join(wrong, ", ")
		}
	}
	return ""
}

// readEvent reads an event, with everything that is wrong with it.
func readEvent(body []byte) (object, []string) {
	var e object
	if err := strict(body, &e); err != nil {
		return nil, []string{err.Error()}
	}
	any255 := text(1, 255)
	wrong := e.check("", map[string]func(any) string{
		"routing_key": text(32, 32), "event_action": oneOf("trigger", "acknowledge", "resolve"), "dedup_key": any255, "client": text(1, 1024), "client_url": address,
		"links": links, "payload": mapping,
	}, "routing_key", "event_action", "dedup_key")
	if e.text("event_action") != "trigger" {
		return e, wrong
	}
	payload, _ := e["payload"].(map[string]any)
	return e, append(wrong, object(payload).check("payload.", map[string]func(any) string{
		"summary": text(1, 1024), "source": text(1, 1024), "severity": oneOf("critical", "error", "warning", "info"), "timestamp": date,
		"component": text(1, 1024), "group": text(1, 1024), "class": text(1, 1024), "custom_details": mapping,
	}, "summary", "source", "severity")...)
}

func strict(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.More() {
		return fmt.Errorf("something follows the JSON")
	}
	return nil
}

func answer(t testing.TB, w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Log(err)
	}
}

// Alert is an alert of Alertmanager as it was told last.
type Alert struct {
	Labels      map[string]string
	Annotations map[string]string
	Starts      time.Time
	Ends        time.Time
}

// Alertmanager takes alerts of its API v2.
type Alertmanager struct {
	*httptest.Server

	t      testing.TB
	user   string // user:password that it asks for, or empty
	mu     sync.Mutex
	alerts map[string]Alert // by labels
}

// NewAlertmanager starts one; user is user:password, or empty.
func NewAlertmanager(t testing.TB, user string) *Alertmanager {
	a := &Alertmanager{t: t, user: user, alerts: map[string]Alert{}}
	a.Server = httptest.NewServer(http.HandlerFunc(a.take))
	t.Cleanup(a.Close)
	return a
}

// Firing gives the labels of the alerts that fire at a time.
func (a *Alertmanager) Firing(at time.Time) []map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []map[string]string
	for _, alert := range a.alerts {
		if alert.Ends.After(at) {
			out = append(out, alert.Labels)
		}
	}
	return out
}

func (a *Alertmanager) take(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	user, password, _ := r.BasicAuth()
	if a.user != "" && user+":"+password != a.user {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	var alerts []object
	wrong := []string{}
	if err := strict(body, &alerts); err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v2/alerts" || r.Header.Get("Content-Type") != "application/json" {
		wrong = append(wrong, fmt.Sprintf("%s %s %s: %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), err))
	}
	for _, alert := range alerts {
		wrong = append(wrong, readAlert(alert)...)
	}
	if len(wrong) > 0 {
		a.t.Errorf("alerts are not of the API v2: %s\n%s", strings.Join(wrong, "; "), body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, alert := range alerts {
		got := Alert{Labels: texts(alert["labels"]), Annotations: texts(alert["annotations"])}
		got.Starts, _ = time.Parse(time.RFC3339, alert.text("startsAt"))
		got.Ends, _ = time.Parse(time.RFC3339, alert.text("endsAt"))
		if got.Ends.Before(got.Starts) {
			a.t.Errorf("an alert ends at %s, before it starts at %s", got.Ends, got.Starts)
		}
		a.alerts[fmt.Sprint(got.Labels)] = got // fmt sorts the keys
	}
}

// labelRE is what a label may be called.
var labelRE = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func labels(v any) string {
	set, ok := v.(map[string]any)
	if !ok {
		return "is no object"
	}
	for name, value := range set {
		if s, ok := value.(string); !ok || !utf8.ValidString(s) || !labelRE.MatchString(name) {
			return fmt.Sprintf("has %s: %v", name, value)
		}
	}
	return ""
}

func readAlert(alert object) []string {
	wrong := alert.check("", map[string]func(any) string{
		"labels": labels, "annotations": labels, "startsAt": date, "endsAt": date, "generatorURL": address,
	}, "labels")
	set := texts(alert["labels"])
	if set["alertname"] == "" {
		wrong = append(wrong, "labels has no alertname")
	}
	return wrong
}

func texts(v any) map[string]string {
	out := map[string]string{}
	set, _ := v.(map[string]any)
	for name, value := range set {
		out[name], _ = value.(string)
	}
	return out
}
