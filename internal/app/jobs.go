package app

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/watch"
)

const (
	signEvery      = time.Second
	closeEvery     = time.Second
	tellEvery      = time.Second
	activateEvery  = time.Second
	warnEvery      = time.Second
	indexEvery     = 100 * time.Millisecond
	detectEvery    = 100 * time.Millisecond
	indexBusy      = 256 // entries that wait to be saved
	indexBusyEvery = time.Second
	refuseEvery    = 5 * time.Second
	lockEvery      = time.Second // how often a node tries to take over a job from another one
	retryAfter     = time.Second
	renewLooks     = 5 // in the time between two questions about a sign-in
)

// goRun runs a named job until Stop.
func (a *App) goRun(name string, job func(context.Context)) {
	a.running.Go(func() {
		defer a.config.Log.Debug("job ended", "job", name)
		job(a.jobs)
	})
}

// run starts what belongs to one ledger: its sequencer on every node, and the jobs that one node of a cluster does.
func (a *App) run(l *ledger.Ledger) {
	a.writers.Go(func() { l.Run(a.writing) })
	clerk := &ledger.Clerk{
		Ledger: l, Rand: rand.Reader, Node: a.config.Node, Origin: a.keys.LedgerOrigin(l.Name()),
		PublicKey: a.keys.VerifierKey(l.Name()), Version: a.config.Version, Interval: a.config.Heartbeat,
	}
	a.clerks.Store(l.Name(), clerk)
	a.begin(l, clerk)
	signer := &ledger.Signer{
		Ledger: l, Origin: a.keys.LedgerOrigin(l.Name()), Key: a.keys.Signer(l.Name()), Log: a.keys.Verifier(l.Name()), Witnesses: a.config.Witnesses,
	}
	name := string(l.Name())
	a.goAlone("sign "+name, func(ctx context.Context) error {
		return every(ctx, signEvery, func() error { return a.logged("sign", name, second(signer.Sign(ctx))) })
	})
	a.goAlone("index "+name, func(ctx context.Context) error { return a.index(ctx, l) })
	a.goAlone("heartbeat "+name, func(ctx context.Context) error {
		return every(ctx, a.config.Heartbeat/2, func() error { return a.logged("heartbeat", name, clerk.Beat(ctx)) })
	})
	a.goAlone("close approvals "+name, func(ctx context.Context) error {
		return every(ctx, closeEvery, func() error { return a.logged("close approvals", name, a.closeApprovals(ctx, l.Name())) })
	})
	a.goAlone("close switches "+name, func(ctx context.Context) error {
		return every(ctx, closeEvery, func() error { return a.logged("close switches", name, a.closeSwitches(ctx, l.Name())) })
	})
	a.goAlone("deliver notifications "+name, func(ctx context.Context) error { return a.deliver(ctx, l.Name()) })
	a.goAlone("activate changes "+name, func(ctx context.Context) error {
		return every(ctx, activateEvery, func() error { return a.logged("activate changes", name, a.activateDue(ctx, l.Name())) })
	})
	a.goAlone("warn of limits "+name, func(ctx context.Context) error {
		return every(ctx, warnEvery, func() error { return a.logged("warn of limits", name, a.warnOfLimits(ctx, l.Name())) })
	})
	a.goAlone("detect "+name, func(ctx context.Context) error { return a.detect(ctx, l) })
	a.goAlone("probe "+name, func(ctx context.Context) error {
		prober := &watch.Prober{Env: a.environments.Open(l.Name()), Node: a.config.Node, Now: a.config.Now, Rand: rand.Reader}
		return every(ctx, a.config.Probe, func() error { return a.logged("probe", name, prober.Probe(ctx)) })
	})
	if l.Name() == gov.OrgLedger {
		a.goAlone("renew sign-ins", func(ctx context.Context) error {
			return every(ctx, a.config.Renew/renewLooks, func() error { return a.logged("renew sign-ins", name, a.people.Renew(ctx, a.config.Renew)) })
		})
	}
	a.goAlone("scrub "+name, func(ctx context.Context) error {
		return every(ctx, a.config.Scrub, func() error { return a.logged("scrub", name, a.scrub(ctx, l, clerk)) })
	})
}

// begin writes the first entry of a new ledger, or records the silence before this start.
func (a *App) begin(l *ledger.Ledger, clerk *ledger.Clerk) {
	ctx, cancel := context.WithTimeout(a.writing, stopMax)
	defer cancel()
	if err := clerk.Begin(ctx); err != nil && !errors.Is(err, ledger.ErrStale) {
		a.config.Log.Error("begin ledger", "ledger", string(l.Name()), "err", err)
	}
}

func second[T any](_ T, err error) error { return err }

// logged logs an error of a job, which goes on all the same.
func (a *App) logged(job, name string, err error) error {
	if err != nil && !errors.Is(err, context.Canceled) {
		a.config.Log.Error("job", "job", job, "ledger", name, "err", err)
	}
	return nil
}

// closeApprovals records which requests' time is over.
func (a *App) closeApprovals(ctx context.Context, name gov.Environment) error {
	env, ok := a.environments.Environment(name)
	if !ok {
		return nil // it is being opened
	}
	_, err := a.approval.Close(ctx, env)
	if errors.Is(err, ledger.ErrStale) {
		return nil // somebody voted just in time, or consumed it: the next step sees how it stands
	}
	return err
}

// closeSwitches records which switches' time is over.
func (a *App) closeSwitches(ctx context.Context, name gov.Environment) error {
	env, ok := a.environments.Environment(name)
	if !ok {
		return nil // it is being opened
	}
	_, err := a.contain.Close(ctx, env)
	if errors.Is(err, ledger.ErrStale) {
		return nil // somebody released it just in time
	}
	return err
}

// deliver tells people of what waits for them, and those on call of what nobody acknowledged, which it finds first. It begins once it is known under which address people reach the server.
func (a *App) deliver(ctx context.Context, name gov.Environment) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.listening:
	}
	return every(ctx, tellEvery, func() error {
		env, ok := a.environments.Environment(name)
		if !ok {
			return nil // it is being opened
		}
		if err := a.logged("page", string(name), a.incident.Page(ctx, env)); err != nil {
			return err
		}
		return a.logged("deliver notifications", string(name), a.outbox.Deliver(ctx, env))
	})
}

// activateDue puts into force what was scheduled for a time that has come.
func (a *App) activateDue(ctx context.Context, name gov.Environment) error {
	env, ok := a.environments.Environment(name)
	if !ok {
		return nil // it is being opened
	}
	_, err := a.change.ActivateDue(ctx, env)
	return err
}

// warnOfLimits says which limits are used as far as people want to hear of.
func (a *App) warnOfLimits(ctx context.Context, name gov.Environment) error {
	env, ok := a.environments.Environment(name)
	if !ok {
		return nil // it is being opened
	}
	return a.meter.Warn(ctx, env)
}

// every calls fn at an interval until ctx ends or fn errs.
func every(ctx context.Context, interval time.Duration, fn func() error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if err := fn(); err != nil {
				return err
			}
		}
	}
}

// goAlone runs a job that one node of a cluster does at a time. When this node loses the job it tries to take it again.
func (a *App) goAlone(name string, job func(context.Context) error) {
	a.goRun(name, func(ctx context.Context) {
		for ctx.Err() == nil {
			release, ok, err := a.store.TryLock(ctx, name)
			if err != nil || !ok {
				sleep(ctx, lockEvery)
				continue
			}
			err = job(ctx)
			release()
			if err != nil && ctx.Err() == nil {
				a.config.Log.Error("job", "job", name, "err", err)
				sleep(ctx, retryAfter)
			}
		}
	})
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// index keeps the query index in step. It reads what came at once, while that is in memory, and saves it under load less often, so
// that entries which share a posting share its write, but never so late that the lag is felt.
func (a *App) index(ctx context.Context, l *ledger.Ledger) error {
	x := ledger.NewIndexer(l)
	saved := time.Now()
	for ctx.Err() == nil {
		grown := l.Grown()
		unsaved, lag, err := x.Read(ctx)
		if err != nil {
			return err
		}
		if unsaved <= indexBusy || lag > 0 || time.Since(saved) >= indexBusyEvery {
			if err := x.Save(ctx); err != nil {
				return err
			}
			saved = time.Now()
		}
		if lag > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-grown:
			sleep(ctx, indexEvery)
		case <-time.After(lockEvery):
		}
	}
	return ctx.Err()
}

// detect lets the detectors follow a ledger. What they remember is saved when the job ends.
func (a *App) detect(ctx context.Context, l *ledger.Ledger) error {
	env := a.environments.Open(l.Name())
	w := &watch.Watcher{Env: env, Incidents: a.incident, Contain: a.contain, Now: a.config.Now}
	for ctx.Err() == nil {
		grown := l.Grown()
		lag, err := w.Step(ctx)
		a.metrics.Watched(l.Name(), lag)
		if err != nil {
			return err
		}
		if lag > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-grown:
			sleep(ctx, detectEvery)
		case <-time.After(lockEvery):
		}
	}
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopMax)
	defer cancel()
	return w.Save(saving)
}

// scrub derives a ledger again and records that it agreed, or says loudly that it did not.
func (a *App) scrub(ctx context.Context, l *ledger.Ledger, clerk *ledger.Clerk) error {
	began := a.config.Now()
	report, err := l.VerifyStored(ctx, a.keys.Verifier(l.Name()), ledger.Claims{}, func(int64) {})
	if err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		what := report.Findings[0].What
		a.config.Log.Error("the ledger does not verify", "ledger", string(l.Name()), "findings", len(report.Findings), "first", what)
		if before, again := a.scrubs.Swap(l.Name(), what); again && before == what {
			return nil
		}
		return clerk.Scrubbed(ctx, canon.Scrub{Size: report.Entries, Root: report.Root, Millis: a.config.Now().Sub(began).Milliseconds(), Wrong: what})
	}
	a.scrubs.Delete(l.Name())
	took := a.config.Now().Sub(began)
	return clerk.Scrubbed(ctx, canon.Scrub{Size: report.Entries, Root: report.Root, Millis: took.Milliseconds()})
}

// recordRefusals records what was refused, minute by minute.
func (a *App) recordRefusals(ctx context.Context) {
	err := every(ctx, refuseEvery, func() error {
		a.flushRefusals(ctx, false)
		return nil
	})
	a.config.Log.Debug("refusals", "err", err)
}

func (a *App) flushRefusals(ctx context.Context, everything bool) {
	for name, bodies := range a.refusals.Take(a.config.Now(), everything) {
		clerk, ok := a.clerks.Load(name)
		if !ok {
			clerk, _ = a.clerks.Load(gov.OrgLedger)
		}
		for _, body := range bodies {
			if err := clerk.(*ledger.Clerk).Refused(ctx, body); err != nil {
				a.config.Log.Error("record refusals", "ledger", string(name), "err", err)
			}
		}
	}
}
