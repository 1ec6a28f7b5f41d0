package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

// pagers is who an Alertmanager tells: a webhook receiver of its documentation, which keeps what rang and what ended.
type pagers struct {
	mu   sync.Mutex
	told []string // "firing critical inc_0001"
}

func (p *pagers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var told struct {
		Alerts []struct {
			Status string            `json:"status"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(r.Body).Decode(&told); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range told.Alerts {
		p.told = append(p.told, fmt.Sprint(a.Status, " ", a.Labels["severity"], " ", a.Labels["incident"]))
	}
}

// once are what was told, each once, in the order of the first time.
func (p *pagers) once() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, s := range p.told {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// startAlertmanager builds the real Alertmanager and starts it; every incident and severity is a group, which is told of at once.
func startAlertmanager(t *testing.T, tells string) (url string) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "alertmanager")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", binary, "github.com/prometheus/alertmanager/cmd/alertmanager")
	build.Dir = "testdata/alertmanager"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build Alertmanager: %v\n%s", err, out)
	}
	config := filepath.Join(dir, "alertmanager.yml")
	text := fmt.Sprintf("route: {receiver: oncall, group_by: [incident, severity], group_wait: 10ms, group_interval: 1s, repeat_interval: 1h}\n"+
		"receivers: [{name: oncall, webhook_configs: [{url: %q, send_resolved: true}]}]\n", tells)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log := &strings.Builder{}
	run := exec.Command(binary, "--config.file", config, "--storage.path", dir, "--web.listen-address", address, "--cluster.listen-address", "")
	run.Stdout, run.Stderr = log, log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait() // killed
		if t.Failed() {
			t.Log(log)
		}
	})
	url = "http://" + address
	soon(t, "Alertmanager is ready", func() bool {
		r, err := http.Get(url + "/-/ready")
		return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK
	})
	return url
}

func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// active are the severities of an Alertmanager's active alerts.
func active(t *testing.T, url string) []string {
	t.Helper()
	r, err := http.Get(url + "/api/v2/alerts?active=true")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err := r.Body.Close(); err != nil {
		t.Error(err)
	}
	var alerts []struct {
		Labels map[string]string `json:"labels"`
		Status struct {
			State string `json:"state"`
		} `json:"status"`
	}
	if err != nil || json.Unmarshal(body, &alerts) != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%d %s: %v", r.StatusCode, body, err)
	}
	out := []string{}
	for _, a := range alerts {
		out = append(out, a.Labels["severity"]+" "+a.Status.State)
	}
	return out
}

// TestTheRealAlertmanagerFollowsAnIncident: it takes what is sent, rings once at each severity, and stops ringing when the incident
// ends or becomes another severity.
func TestTheRealAlertmanagerFollowsAnIncident(t *testing.T) {
	t.Parallel()
	oncall := &pagers{}
	receiver := httptest.NewServer(oncall)
	t.Cleanup(receiver.Close)
	url := startAlertmanager(t, receiver.URL)
	c := client("")
	c.Now = time.Now
	for _, step := range []struct {
		event gov.Event
		at    gov.Standing
		want  []string
		told  string
	}{
		{gov.EventIncidentOpened, gov.Standing{State: gov.IncidentNew, Severity: gov.SeverityMedium}, []string{"warning active"}, "firing warning inc_0001"},
		{gov.EventIncidentPaged, gov.Standing{State: gov.IncidentNew, Severity: gov.SeverityMedium}, []string{"warning active"}, "firing warning inc_0001"},
		{gov.EventIncidentEscalated, gov.Standing{State: gov.IncidentNew, Severity: gov.SeverityCritical}, []string{"critical active"}, "firing critical inc_0001"},
		{gov.EventIncidentChanged, gov.Standing{State: gov.IncidentResolved, Severity: gov.SeverityCritical, Ended: time.Now()}, []string{}, "resolved critical inc_0001"},
	} {
		n := incidentNotice(step.event, step.at)
		n.Standing.Opened = time.Now().Add(-time.Minute)
		sent, err := c.Send(t.Context(), bundle.Channel{Type: gov.ChannelAlertmanager, URL: url}, n)
		if err != nil || sent != (gov.Sent{Code: http.StatusOK}) {
			t.Fatalf("%+v: %+v, %v", step, sent, err)
		}
		soon(t, step.told, func() bool { return slices.Contains(oncall.once(), step.told) })
		if diff := cmp.Diff(step.want, active(t, url)); diff != "" {
			t.Errorf("%+v: active (-want +got):\n%s", step, diff)
		}
	}
	soon(t, "the end of the first severity", func() bool { return slices.Contains(oncall.once(), "resolved warning inc_0001") })
	got := oncall.once()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"firing critical inc_0001", "firing warning inc_0001", "resolved critical inc_0001", "resolved warning inc_0001"}, got); diff != "" {
		t.Errorf("on call was told (-want +got):\n%s", diff)
	}
}
