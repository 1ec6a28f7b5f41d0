package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-dev/writ/internal/mirror"
	writ "github.com/writ-dev/writ/sdk/go"
)

// tampered is G7: somebody with all rights changes a record.
func tampered() scenario {
	return scenario{
		id: "G7", title: "tampered row in a copy",
		hypothesis: "One changed byte in a copy of the records is found and named, by whoever verifies the copy and by a server that runs on it.",
		injected:   "One byte of one entry is changed, in a copy of this ledger and in the database of a throwaway server.",
		agents:     func(gamedayPlan) []string { return []string{throwawayAgent} },
		of:         []string{"verification_failed"},
		expected:   []string{"verification_failed"},
		run: func(ctx context.Context, d *drill) error {
			if err := d.tamperedLedger(ctx); err != nil {
				return err
			}
			return d.tamperedDatabase(ctx)
		},
	}
}

// changed is a mirror with one byte of one entry changed.
type changed struct {
	mirror.Fetcher
	done bool
}

var honest, forged = []byte(`"outcome":"allow"`), []byte(`"outcome":"alloW"`)

// Fetch gives a file, or the file with the change.
func (c *changed) Fetch(ctx context.Context, path string) ([]byte, error) {
	data, err := c.Fetcher.Fetch(ctx, path)
	if err == nil && !c.done && strings.Contains(path, "entries") && bytes.Contains(data, honest) {
		c.done = true
		data = bytes.Replace(data, honest, forged, 1)
	}
	return data, err
}

// tamperedLedger verifies this ledger as strangers have it, and a copy with one byte changed.
func (d *drill) tamperedLedger(ctx context.Context) error {
	quiet := std{nil, &bytes.Buffer{}, &bytes.Buffer{}}
	from := mirror.NewServer(d.URL+"/ledger/"+d.Environment, d.AdminToken)
	whole, err := verifyCmd{}.mirror(ctx, quiet, from)
	if err != nil {
		return err
	}
	d.want(len(whole.Findings) == 0, "The ledger does not verify before anything is changed.")
	d.moment(time.Now(), "the ledger verifies: %d entries", whole.Entries)
	d.injectedAt(time.Now())
	copied := &changed{Fetcher: from}
	report, err := verifyCmd{}.mirror(ctx, quiet, copied)
	if err != nil {
		return err
	}
	d.want(copied.done, "There was no entry to change.")
	d.want(len(report.Findings) > 0, "A copy with one byte changed verifies.")
	for _, f := range report.Findings[:min(len(report.Findings), 1)] {
		d.moment(time.Now(), "a copy with one byte changed: %s", clipped(f.What, 300))
	}
	return nil
}

const tamperedCalls = 20

// tamperedDatabase changes a byte in the database of a throwaway server behind its back.
func (d *drill) tamperedDatabase(ctx context.Context) error {
	dir, err := d.tempDir()
	if err != nil {
		return err
	}
	admin, err := d.recorded(ctx, filepath.Join(dir, "honest"))
	if err != nil {
		return err
	}
	copied := filepath.Join(dir, "copy")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, "honest"))); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(copied, "writ.key"), 0o600); err != nil {
		return err
	}
	data, err := os.ReadFile(dbFile(copied))
	if err != nil {
		return err
	}
	if !bytes.Contains(data, honest) {
		return fmt.Errorf("there is no entry to change in %s", dbFile(copied))
	}
	if err := os.WriteFile(dbFile(copied), bytes.Replace(data, honest, forged, 1), 0o600); err != nil {
		return err
	}
	began := time.Now()
	d.began = began
	d.moment(began, "one byte of the throwaway database is changed")
	reports, err := verifyCmd{place: place{Data: copied}}.verify(ctx, std{nil, &bytes.Buffer{}, &bytes.Buffer{}})
	if err != nil {
		return err
	}
	named := ""
	for _, r := range reports {
		for _, f := range r.Findings {
			named = f.What
		}
	}
	d.want(named != "", "writ verify finds nothing wrong with the changed database.")
	now := time.Now()
	d.moment(now, "writ verify names it: %s", clipped(named, 300))
	return d.scrubbed(ctx, copied, admin)
}

// recorded is the administrator's token of a server that ran over a directory, decided some calls, and stopped.
func (d *drill) recorded(ctx context.Context, dir string) (admin string, err error) {
	tar, err := acmeTar(asItIs)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	t, err := d.throwaway(ctx, dir, 0, tar)
	if err != nil {
		return "", err
	}
	client, err := t.support(ctx)
	if err != nil {
		return "", err
	}
	for range tamperedCalls {
		if _, err := client.Decide(ctx, throwawayCall); err != nil {
			return "", err
		}
	}
	if err := settled(ctx, t.remote); err != nil {
		return "", err
	}
	return t.AdminToken, t.app.Stop()
}

// scrubbed runs a server on the changed database until its scrubber notices.
func (d *drill) scrubbed(ctx context.Context, dir, admin string) error {
	t, err := d.throwaway(ctx, dir, time.Second, nil)
	if err != nil {
		return err
	}
	t.AdminToken = admin
	err = until(ctx, d.Wait, func() (bool, error) {
		w, ok, err := d.signal(ctx, t.remote, 0, "verification_failed", nil)
		if ok {
			d.moment(w.time(), "verification_failed noticed: %s", clipped(w.Signal.Summary, 300))
			d.detected(w.time())
		}
		return ok, err
	})
	if err != nil {
		d.missed("The server on the changed database did not notice: %v.", err)
	}
	d.saw("The change was named by writ verify and noticed by the scrubber.")
	return nil
}

// underLoad is G8: a kill switch while calls come.
func underLoad() scenario {
	return scenario{
		id: "G8", title: "kill switch under load",
		hypothesis: "Behind a kill switch nothing of its scope is allowed, however many calls are under way.",
		injected:   "Eight workers ask for calls that are allowed, all the time; meanwhile a switch stops their session.",
		agents:     func(p gamedayPlan) []string { return []string{p.Load.Agent} },
		run:        runUnderLoad,
	}
}

const (
	loadWorkers = 8
	loadBefore  = 200 // calls that were answered before the switch
	loadAfter   = 10  // denials that each worker sees before it stops
	loadMost    = 5000
	loadTime    = time.Minute
)

// load is what workers saw.
type load struct {
	answered    atomic.Int64
	mu          sync.Mutex
	all, denied int
	lastAllow   *writ.Decision
	firstDeny   *writ.Decision
	err         error
}

// saw takes in one answer.
func (l *load) saw(a *writ.Decision, err error) {
	l.answered.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.err = err
		return
	case a.Outcome == writ.Allow && (l.lastAllow == nil || a.Receipt.Index > l.lastAllow.Receipt.Index):
		l.lastAllow = a
	case a.Outcome != writ.Allow:
		if l.denied++; l.firstDeny == nil || a.Receipt.Index < l.firstDeny.Receipt.Index {
			l.firstDeny = a
		}
	}
	l.all++
}

// work asks until it was denied often enough.
func (d *drill) work(ctx context.Context, client *writ.Client, l *load) {
	denied := 0
	for n := 0; n < loadMost && denied < loadAfter && ctx.Err() == nil; n++ {
		a, err := d.call(ctx, client, d.plan.Load)
		l.saw(a, err)
		if err != nil {
			return
		}
		if a.Outcome != writ.Allow {
			denied++
			continue
		}
		// Nothing ran: what the call reserved of a budget is free again, and the drill uses up nobody's.
		if err := client.Report(ctx, a.ID, writ.Result{Status: writ.NotRun}); err != nil {
			l.saw(a, err)
			return
		}
	}
}

func runUnderLoad(ctx context.Context, d *drill) error {
	client, err := d.agent(ctx, d.plan.Load.Agent, d.plan.Load.Principal)
	if err != nil {
		return err
	}
	working, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	var l load
	var group sync.WaitGroup
	for range loadWorkers {
		group.Go(func() { d.work(working, client, &l) })
	}
	err = until(working, loadTime, func() (bool, error) { return l.answered.Load() >= loadBefore, nil })
	if err != nil {
		cancel()
		group.Wait()
		return err
	}
	asked := time.Now()
	d.injectedAt(asked)
	d.moment(asked, "the switch is asked for, after %d calls", l.answered.Load())
	w, err := d.stop(ctx, "")
	returned := time.Now()
	if err != nil {
		cancel()
	}
	group.Wait()
	if err != nil || l.err != nil {
		return firstOf(err, l.err)
	}
	d.moment(returned, "the switch is answered, %s after it was asked for (%.1f ms in the server)", returned.Sub(asked).Round(time.Millisecond), w.HaltMS)
	d.contained(returned)
	d.judgeLoad(&l, w)
	return d.nothingBehind(ctx, w)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// judgeLoad holds what the workers saw against the switch's place in the ledger.
func (d *drill) judgeLoad(l *load, w drillSwitch) {
	if l.lastAllow == nil || l.firstDeny == nil {
		d.missed("Of %d calls none was allowed, or none denied.", l.all)
		return
	}
	d.ref(l.lastAllow.ID, l.firstDeny.ID)
	d.moment(l.lastAllow.At, "the last allow, at index %d (%s)", l.lastAllow.Receipt.Index, l.lastAllow.ID)
	d.moment(l.firstDeny.At, "the first denial, at index %d (%s)", l.firstDeny.Receipt.Index, l.firstDeny.ID)
	d.want(l.lastAllow.Receipt.Index < w.Index, "A call was allowed at index %d, behind the switch at index %d.", l.lastAllow.Receipt.Index, w.Index)
	d.want(hasReason(l.firstDeny, "switch"), "The first denial was not by the switch: %s", l.firstDeny.Reasons[0].Message)
	d.saw("%d calls by %d workers; the last allow is at index %d, the switch at %d; %d denials behind it.", l.all, loadWorkers, l.lastAllow.Receipt.Index, w.Index, l.denied)
}

// nothingBehind asks the ledger for the newest allow of the session, once it has been searched up to behind the denials.
func (d *drill) nothingBehind(ctx context.Context, w drillSwitch) error {
	var page struct {
		Decisions []struct {
			ID      string       `json:"id"`
			Receipt writ.Receipt `json:"receipt"`
		} `json:"decisions"`
		Through int64 `json:"complete_through"`
	}
	query := d.environmentQuery("session", d.session, "outcome", "allow", "limit", "1")
	err := until(ctx, d.Wait, func() (bool, error) {
		_, err := d.get(ctx, d.AdminToken, "/v1/decisions", query, &page)
		return page.Through > w.Index+loadAfter, err
	})
	if err != nil {
		return err
	}
	d.want(len(page.Decisions) == 1 && page.Decisions[0].Receipt.Index < w.Index, "The ledger has an allow behind the switch.")
	return nil
}
