package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

var at = time.Date(2026, 11, 23, 14, 3, 0, 5000, time.UTC)

func notice() gov.Notice {
	return gov.Notice{
		ID: "dec_0001", Event: gov.EventApprovalRequested, Environment: "prod", Source: "https://writ.example.com/ledger/prod", Subject: "apr_0001", At: at,
		Title: "support-bot asks to call stripe/refund in prod", Agent: "support-bot", Tool: "stripe/refund",
		Why: []string{"Refunds over 500 USD need <!channel> & a finance approver."}, Groups: []gov.GroupID{"finance", "leads"}, Votes: 2,
		Deadline: at.Add(4 * time.Hour), State: "pending", URL: "https://writ.example.com/console/approvals/apr_0001",
	}
}

// client is one whose only secret is S.
func client(secret string) *Client {
	return &Client{Now: func() time.Time { return at }, Secret: func(name string) (string, error) {
		if name != "S" {
			return "", errors.New("there is no secret " + name)
		}
		return secret, nil
	}}
}

// received is a request as it came.
type received struct {
	header http.Header
	body   []byte
}

// receiver answers with a status and keeps what it got.
func receiver(t *testing.T, status int, answer string) (url string, got *[]received) {
	t.Helper()
	got = &[]received{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/hooks/private" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		*got = append(*got, received{r.Header, body})
		w.WriteHeader(status)
		if _, err := io.WriteString(w, answer); err != nil {
			t.Log(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/hooks/private", got
}

const (
	keyOne = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	keyTwo = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// verify is a receiver's, written anew from the text of Standard Webhooks.
func verify(key string, r received, now time.Time) error {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(r.header.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return err
	}
	if away := now.Sub(time.Unix(seconds, 0)).Abs(); away > 5*time.Minute {
		return errors.New("too old, or from the future")
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(r.header.Get("webhook-id") + "." + r.header.Get("webhook-timestamp") + "." + string(r.body)))
	for signature := range strings.SplitSeq(r.header.Get("webhook-signature"), " ") {
		if got, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1,")); err == nil && hmac.Equal(got, mac.Sum(nil)) {
			return nil
		}
	}
	return errors.New("no signature is by this key")
}

func TestASignatureIsThatOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	key, err := readKey(keyOne)
	if err != nil {
		t.Fatal(err)
	}
	// The example of the specification.
	if got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("the signature is %s", got)
	}
}

func TestAWebhookIsASignedCloudEvent(t *testing.T) {
	t.Parallel()
	url, got := receiver(t, http.StatusNoContent, "")
	c := client(url + "\n" + keyOne + "\r\n" + keyTwo + "\n")
	for range 2 {
		if sent, err := c.Send(t.Context(), bundle.Channel{Type: gov.ChannelWebhook, Secret: "S"}, notice()); err != nil || sent != (gov.Sent{Code: 204}) {
			t.Fatalf("sent: %+v, %v", sent, err)
		}
	}
	first, second := (*got)[0], (*got)[1]
	for _, key := range []string{keyOne, keyTwo} {
		if err := verify(key, first, at); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := verify(keyOne, first, at.Add(6*time.Minute)); err == nil {
		t.Error("a replay is taken")
	}
	forged := received{first.header.Clone(), first.body}
	forged.header.Set("webhook-timestamp", strconv.FormatInt(at.Add(6*time.Minute).Unix(), 10))
	if err := verify(keyOne, forged, at.Add(6*time.Minute)); err == nil {
		t.Error("a replay with a new time is taken")
	}
	if err := verify(keyOne, received{first.header, append([]byte(" "), first.body...)}, at); err == nil {
		t.Error("another body is taken")
	}
	if a, b := first.header.Get("webhook-id"), second.header.Get("webhook-id"); a != b || a != "dec_0001" {
		t.Errorf("the ids of two attempts are %q and %q", a, b)
	}
	if kind := first.header.Get("Content-Type"); kind != "application/cloudevents+json; charset=utf-8" {
		t.Errorf("the content is %s", kind)
	}
	var body map[string]any
	if err := json.Unmarshal(first.body, &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"specversion": "1.0", "id": "dec_0001", "source": "https://writ.example.com/ledger/prod", "type": "dev.writ.approval_requested", "subject": "apr_0001",
		"time": "2026-11-23T14:03:00.000005Z", "datacontenttype": "application/json", "data": map[string]any{
			"environment": "prod", "entry": "dec_0001", "title": "support-bot asks to call stripe/refund in prod", "state": "pending",
			"agent": "support-bot", "tool": "stripe/refund", "why": []any{"Refunds over 500 USD need <!channel> & a finance approver."},
			"groups": []any{"finance", "leads"}, "votes": 2.0, "deadline": "2026-11-23T18:03:00Z", "url": "https://writ.example.com/console/approvals/apr_0001",
		},
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestSlackGetsBlocksThatMentionNobody(t *testing.T) {
	t.Parallel()
	url, got := receiver(t, http.StatusOK, "ok")
	if sent, err := client(url+"\n").Send(t.Context(), bundle.Channel{Type: gov.ChannelSlack, Secret: "S"}, notice()); err != nil || sent != (gov.Sent{Code: 200}) {
		t.Fatalf("sent: %+v, %v", sent, err)
	}
	var body map[string]any
	if err := json.Unmarshal((*got)[0].body, &body); err != nil {
		t.Fatal(err)
	}
	field := func(name, value string) any {
		return map[string]any{"type": "mrkdwn", "verbatim": true, "text": "*" + name + "*\n" + value}
	}
	plain := func(text string) any { return map[string]any{"type": "plain_text", "text": text} }
	want := map[string]any{
		"text": "support-bot asks to call stripe/refund in prod",
		"blocks": []any{
			map[string]any{"type": "header", "text": plain("support-bot asks to call stripe/refund in prod")},
			map[string]any{"type": "section", "text": map[string]any{"type": "mrkdwn", "verbatim": true, "text": "Refunds over 500 USD need &lt;!channel&gt; &amp; a finance approver."}},
			map[string]any{"type": "section", "fields": []any{
				field("Environment", "prod"), field("Agent", "support-bot"), field("Tool", "stripe/refund"), field("Asked", "finance, leads"),
				field("Votes needed", "2"), field("Until", "2026-11-23 18:03 UTC"), field("State", "pending"),
			}},
			map[string]any{"type": "actions", "elements": []any{map[string]any{
				"type": "button", "text": plain("Open in Writ"), "url": "https://writ.example.com/console/approvals/apr_0001",
			}}},
		},
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	if kind := (*got)[0].header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
		t.Errorf("the content is %s", kind)
	}
}

// TestALongNoticeFitsSlack as the limits of Block Kit say.
func TestALongNoticeFitsSlack(t *testing.T) {
	t.Parallel()
	n := notice()
	n.Title, n.Why, n.Groups = strings.Repeat("é", 400), nil, nil
	for range 20 {
		n.Why, n.Groups = append(n.Why, strings.Repeat("&", 900)), append(n.Groups, gov.GroupID(strings.Repeat("g", 128)))
	}
	m := slackOf(n)
	if len(m.Blocks) > 50 {
		t.Errorf("%d blocks", len(m.Blocks))
	}
	for _, b := range m.Blocks {
		textMax := map[string]int{"header": 150, "section": 3000}[b.Type]
		if b.Text != nil && len([]rune(b.Text.Text)) > textMax {
			t.Errorf("a %s of %d characters", b.Type, len([]rune(b.Text.Text)))
		}
		if len(b.Fields) > 10 {
			t.Errorf("%d fields", len(b.Fields))
		}
		for _, f := range b.Fields {
			if len([]rune(f.Text)) > 2000 {
				t.Errorf("a field of %d characters", len([]rune(f.Text)))
			}
		}
	}
}

// TestWhatFailsIsSaidWithoutTheSecret: not the URL, not the key, not what the receiver answers.
func TestWhatFailsIsSaidWithoutTheSecret(t *testing.T) {
	t.Parallel()
	gone, _ := receiver(t, http.StatusGone, "no such hook: /hooks/private")
	busy, _ := receiver(t, http.StatusServiceUnavailable, "private "+strings.Repeat("x", 1<<20))
	slack, _ := receiver(t, http.StatusNotFound, "no_service")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String() + "/hooks/private"
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		kind   gov.ChannelType
		secret string
		want   gov.Sent
		says   string
	}{
		{gov.ChannelWebhook, gone + "\n" + keyOne, gov.Sent{Cause: gov.UnsentRefused, Code: 410}, "status 410"},
		{gov.ChannelWebhook, busy + "\n" + keyOne, gov.Sent{Cause: gov.UnsentRefused, Code: 503}, "status 503"},
		{gov.ChannelWebhook, closed + "\n" + keyOne, gov.Sent{Cause: gov.UnsentUnreachable}, "refused"},
		{gov.ChannelSlack, slack, gov.Sent{Cause: gov.UnsentRefused, Code: 404}, "no_service"},
		{gov.ChannelSlack, gone, gov.Sent{Cause: gov.UnsentRefused, Code: 410}, "status 410"},
		{gov.ChannelSlack, closed, gov.Sent{Cause: gov.UnsentUnreachable}, "refused"},
		{gov.ChannelSlack, "http://hooks.example.com/private", gov.Sent{Cause: gov.UnsentSecret}, "https"},
		{gov.ChannelSlack, "hooks.example.com/private", gov.Sent{Cause: gov.UnsentSecret}, "https"},
		{gov.ChannelSlack, "https://hooks.example.com/%zzprivate", gov.Sent{Cause: gov.UnsentSecret}, "https"},
		{gov.ChannelWebhook, gone, gov.Sent{Cause: gov.UnsentSecret}, "keys"},
		{gov.ChannelWebhook, gone + "\n" + keyOne + "\n" + keyOne + "\n" + keyOne, gov.Sent{Cause: gov.UnsentSecret}, "keys"},
		{gov.ChannelWebhook, gone + "\nwhsec_private", gov.Sent{Cause: gov.UnsentSecret}, "whsec_"},
		{gov.ChannelWebhook, gone + "\nMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", gov.Sent{Cause: gov.UnsentSecret}, "whsec_"},
		{gov.ChannelEmail, "smtp://private:private", gov.Sent{Cause: gov.UnsentSecret}, "smtp://"},
		{gov.ChannelEmail, "https://private@mail.example.com", gov.Sent{Cause: gov.UnsentSecret}, "smtp://"},
	} {
		sent, err := client(test.secret).Send(t.Context(), bundle.Channel{Type: test.kind, Secret: "S", From: "a@example.com", To: []string{"b@example.com"}}, notice())
		if sent != test.want || err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s %.40q: %+v %v, want %+v and %q", test.kind, test.secret, sent, err, test.want, test.says)
		}
		if err != nil && (strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "MfKQ")) {
			t.Errorf("%s: the error tells the secret: %v", test.kind, err)
		}
	}
	sent, err := client("").Send(t.Context(), bundle.Channel{Type: gov.ChannelSlack, Secret: "T"}, notice())
	if sent != (gov.Sent{Cause: gov.UnsentSecret}) || err == nil {
		t.Errorf("without the secret: %+v, %v", sent, err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere, got := receiver(t, http.StatusOK, "")
	s := httptest.NewServer(http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect))
	t.Cleanup(s.Close)
	sent, err := client(s.URL).Send(t.Context(), bundle.Channel{Type: gov.ChannelSlack, Secret: "S"}, notice())
	if sent != (gov.Sent{Cause: gov.UnsentRefused, Code: 307}) || err == nil || len(*got) > 0 {
		t.Errorf("%+v, %v, and elsewhere got %d", sent, err, len(*got))
	}
}

func TestASilentReceiverIsLeft(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for kind, secret := range map[gov.ChannelType]string{gov.ChannelSlack: "http://" + l.Addr().String(), gov.ChannelEmail: "smtp://" + l.Addr().String(), "": ""} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		sent, err := client(secret).Send(ctx, bundle.Channel{Type: kind, Secret: "S", From: "a@example.com", To: []string{"b@example.com"}}, notice())
		cancel()
		want := gov.UnsentUnreachable
		if kind == "" {
			want = gov.UnsentSecret
		}
		if sent.Cause != want || err == nil {
			t.Errorf("%s: %+v, %v", kind, sent, err)
		}
	}
}
