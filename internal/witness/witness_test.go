package witness_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/store"
	"github.com/writ-dev/writ/internal/witness"
)

const origin = "example.com/prod"

// rig is a ledger with a signer, a clock that stands until it is moved, and what was logged.
type rig struct {
	t      *testing.T
	ledger *ledger.Ledger
	signer *ledger.Signer
	log    note.Verifier
	mu     sync.Mutex
	at     time.Time
	logged bytes.Buffer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	key, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, at: time.Date(2026, 11, 23, 14, 3, 0, 0, time.UTC)}
	if r.log, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r.ledger = ledger.New(st, "prod", ledger.Options{Now: r.now, Log: slog.New(slog.NewTextHandler(&r.logged, nil))})
	r.signer = &ledger.Signer{Ledger: r.ledger, Origin: origin, Key: key, Log: r.log}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.ledger.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *rig) move(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = r.at.Add(d)
}

// witness adds a witness to the signer.
func (r *rig) witness(name string) (*server, note.Verifier) {
	r.t.Helper()
	s, vkey := newServer(r.t, name, origin, r.log)
	c, err := witness.Parse("url=" + s.URL + "/,key=" + vkey)
	if err != nil {
		r.t.Fatal(err)
	}
	if c.Name() != name {
		r.t.Fatalf("the witness %s is called %s", name, c.Name())
	}
	r.signer.Witnesses = append(r.signer.Witnesses, c)
	return s, c.Verifier()
}

// grow appends entries.
func (r *rig) grow(n int) {
	r.t.Helper()
	for range n {
		var nonce canon.Nonce
		if _, err := rand.Read(nonce[:]); err != nil {
			r.t.Fatal(err)
		}
		draft, err := canon.NewDraft("prod", canon.KindHeartbeat, nonce, canon.Writ(), canon.Heartbeat{Node: "n1"})
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.ledger.Append(r.t.Context(), ledger.NewRecord(canon.KindHeartbeat, draft, nil)); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) sign() bool {
	r.t.Helper()
	signed, err := r.signer.Sign(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return signed
}

// checkpoint opens the kept one.
func (r *rig) checkpoint(witnesses ...note.Verifier) merkle.Checkpoint {
	r.t.Helper()
	kept, err := r.ledger.Checkpoint(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := merkle.OpenCheckpoint(kept.Note, r.log, witnesses...)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// expect says how many entries the kept checkpoint has and by how many of the witnesses it is cosigned.
func (r *rig) expect(what string, size int64, cosigners int, witnesses ...note.Verifier) {
	r.t.Helper()
	if c := r.checkpoint(witnesses...); c.Size != size || len(c.Cosigners) != cosigners {
		r.t.Errorf("%s: %d entries, cosigned by %v; want %d entries and %d cosignatures", what, c.Size, c.Cosigners, size, cosigners)
	}
}

func TestACosignatureIsKeptWithItsCheckpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, v := r.witness("witness.example/w1")
	for round := range 4 {
		r.grow(100)
		if !r.sign() {
			t.Fatalf("round %d: nothing was signed", round)
		}
		r.expect(fmt.Sprint("round ", round), int64(round+1)*100, 1, v)
	}
	asked := s.requests()
	if r.sign() || s.requests() != asked {
		t.Error("a checkpoint that has its cosignature was signed, or sent, again")
	}
	if asked != 4 {
		t.Errorf("%d requests for 4 checkpoints", asked)
	}
}

func TestAfterARestartTheWitnessSaysWhatItHas(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, v := r.witness("witness.example/w1")
	r.grow(7)
	r.sign()
	fresh := *r.signer // what a new process knows: nothing
	r.signer = &ledger.Signer{Ledger: fresh.Ledger, Origin: fresh.Origin, Key: fresh.Key, Log: fresh.Log, Witnesses: fresh.Witnesses}
	r.grow(5)
	r.sign()
	r.expect("after the restart", 12, 1, v)
	if s.requests() != 3 {
		t.Errorf("%d requests; one, then a conflict and its repetition, are 3", s.requests())
	}
}

func TestAWitnessThatIsDownStopsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	down, d := r.witness("witness.example/down")
	up, u := r.witness("witness.example/up")
	down.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r.grow(3)
	r.sign()
	r.expect("one is down", 3, 1, d, u)
	if !strings.Contains(r.logged.String(), "witness.example/down") {
		t.Errorf("nobody is told which witness is down: %s", r.logged.String())
	}
	// The cosignature that is there is kept when the other one comes, and not asked for again.
	asked := up.requests()
	up.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	down.set(nil)
	r.move(time.Hour)
	if !r.sign() {
		t.Error("a new cosignature was not kept")
	}
	r.expect("it came back", 3, 2, d, u)
	if up.requests() != asked {
		t.Error("a witness that had cosigned was asked again")
	}
}

// TestNoAppendWaitsForAWitness that takes the request and says nothing.
func TestNoAppendWaitsForAWitness(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, v := r.witness("witness.example/w1")
	asked, answer := make(chan struct{}), make(chan struct{})
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		http.Error(w, "sorry", http.StatusServiceUnavailable)
	})
	r.grow(1)
	signed := make(chan error, 1)
	go func() {
		_, err := r.signer.Sign(t.Context())
		signed <- err
	}()
	<-asked
	r.grow(5)
	select {
	case err := <-signed:
		t.Errorf("the checkpoint did not wait: %v", err)
	default:
	}
	close(answer)
	if err := <-signed; err != nil {
		t.Fatal(err)
	}
	r.expect("without the witness", 1, 0, v)
}

func TestAWitnessThatFailsIsLeftAloneForLongerEachTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, v := r.witness("witness.example/w1")
	s.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) })
	r.grow(1)
	var times []int
	began, asked := r.now(), 0
	const seconds = 900
	for range seconds {
		r.sign()
		if n := s.requests(); n != asked {
			asked = n
			times = append(times, int(r.now().Sub(began).Seconds()))
		}
		r.move(time.Second)
	}
	want := "[0 2 6 14 30 62 126 254 510 810]" // doubling from 2 s, and then every 5 minutes
	if got := fmt.Sprint(times); got != want {
		t.Errorf("asked at second %s, want %s", got, want)
	}
	s.set(nil)
	r.move(5 * time.Minute)
	r.sign()
	r.expect("it is back", 1, 1, v)
	// What it failed before is forgotten.
	s.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) })
	r.grow(1)
	r.sign()
	s.set(nil)
	r.move(2 * time.Second)
	r.sign()
	r.expect("two seconds after a single failure", 2, 1, v)
}

func TestARefusalIsReportedAndNothingIsCosigned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault http.HandlerFunc
		says  string
	}{
		"422":               {refuse(http.StatusUnprocessableEntity, "", "the proof does not hold"), "the proof does not hold"},
		"403":               {refuse(http.StatusForbidden, "", "who are you"), "who are you"},
		"409 without size":  {refuse(http.StatusConflict, "text/plain", "5\n"), "refused: 409"},
		"409 with no size":  {refuse(http.StatusConflict, "text/x.tlog.size", "many\n"), `says it has "many`},
		"409 below zero":    {refuse(http.StatusConflict, "text/x.tlog.size", "-1\n"), `says it has "-1`},
		"409 for ever":      {refuse(http.StatusConflict, "text/x.tlog.size", "2\n"), "still did not cosign"},
		"409 of the future": {refuse(http.StatusConflict, "text/x.tlog.size", "900\n"), "entries are gone"},
		"nothing":           {refuse(http.StatusOK, "", ""), "without a cosignature"},
		"a page":            {refuse(http.StatusOK, "text/html", "<html>\n"), "not a signature line"},
		"half a line":       {refuse(http.StatusOK, "", "— witness.example/w1 abcd"), "not a signature line"},
		"of somebody else":  {refuse(http.StatusOK, "", "— witness.example/w1 "+strings.Repeat("A", 100)+"\n"), "no cosignature that checks"},
		"without an end":    {endless, "over 65536 bytes"},
		"over there":        {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusTemporaryRedirect) }, "refused: 307"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			s, v := r.witness("witness.example/w1")
			s.set(c.fault)
			r.grow(5)
			r.sign()
			r.expect(name, 5, 0, v)
			if got := strings.ReplaceAll(r.logged.String(), `\`, ""); !strings.Contains(got, c.says) || !strings.Contains(got, "witness.example/w1") {
				t.Errorf("the log says %q, not %q", got, c.says)
			}
			if s.requests() > 2 {
				t.Errorf("%d requests at a time", s.requests())
			}
		})
	}
}

func refuse(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client may have hung up
	}
}

// endless sends whole signature lines until the client has had enough; each line alone would be taken.
func endless(w http.ResponseWriter, _ *http.Request) {
	line := "— witness.example/w1 " + strings.Repeat("A", 40) + "\n"
	for range 64 << 10 {
		if _, err := io.WriteString(w, line); err != nil {
			return
		}
	}
}

// TestARebuiltHistoryIsNotCosigned: somebody who has the log's key signs another tree; the witness remembers the first one.
func TestARebuiltHistoryIsNotCosigned(t *testing.T) {
	t.Parallel()
	honest := newRig(t)
	s, v := honest.witness("witness.example/w1")
	honest.grow(20)
	honest.sign()
	forged := newRig(t)
	forged.signer.Key, forged.signer.Log, forged.log = honest.signer.Key, honest.log, honest.log
	forged.signer.Witnesses = honest.signer.Witnesses
	forged.grow(20)
	forged.sign()
	forged.expect("of the same size", 20, 0, v)
	forged.grow(1)
	forged.move(time.Hour)
	forged.sign()
	forged.expect("of a larger size", 21, 0, v)
	if got := forged.logged.String(); !strings.Contains(got, "still did not cosign") || !strings.Contains(got, "422") {
		t.Errorf("the log says %q", got)
	}
	if s.requests() < 3 {
		t.Errorf("the witness was asked %d times", s.requests())
	}
}

func TestWhatIsNoWitnessIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	_, vkey := newServer(t, "witness.example/w1", origin, nil)
	if _, err := witness.Parse("url=https://w.example,key=" + vkey); err != nil {
		t.Errorf("a witness: %v", err)
	}
	for _, text := range []string{"", "url=https://w.example", "key=" + vkey, "url=ftp://w.example,key=" + vkey, "url=https://,key=" + vkey, "url=https://w.example,key=" + vkey + ",colour=red", "url=https://w.example,key=w+1+AAAA"} {
		if _, err := witness.Parse(text); err == nil {
			t.Errorf("%q is a witness", text)
		}
	}
}
