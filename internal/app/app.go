// Package app puts the parts together: Config, New, Start, Stop. It is the only place that knows everyone, reads the clock,
// and starts goroutines; every goroutine it starts has ended when Stop returns.
package app

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/writ-dev/writ/internal/api"
	"github.com/writ-dev/writ/internal/approval"
	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/change"
	"github.com/writ-dev/writ/internal/console"
	"github.com/writ-dev/writ/internal/contain"
	"github.com/writ-dev/writ/internal/decide"
	"github.com/writ-dev/writ/internal/exercise"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/incident"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/meter"
	"github.com/writ-dev/writ/internal/notify"
	"github.com/writ-dev/writ/internal/outbox"
	"github.com/writ-dev/writ/internal/people"
	"github.com/writ-dev/writ/internal/scan"
	"github.com/writ-dev/writ/internal/state"
	"github.com/writ-dev/writ/internal/store"
)

// Config is how a server is to run.
type Config struct {
	Data          string // directory of the embedded store and the key file
	Database      string // postgres://…; empty for the embedded store
	KeyFile       string // default: writ.key in Data
	Origin        string // of the checkpoints, for a key file that is made now
	Listen        string // address, such as 127.0.0.1:8420; port 0 takes a free one
	PublicURL     string // under which people reach the server: https://writ.example.com; empty: localhost and the port of Listen
	Secrets       string // directory with the secrets that bundles name; beside it, variables of the environment
	Witnesses     []ledger.Witness
	Issuers       []identity.Issuer
	PrivateLedger bool
	Heartbeat     time.Duration
	Scrub         time.Duration
	Renew         time.Duration // between the times that identity providers are asked about each sign-in; see people.Renew
	Probe         time.Duration // between the times that detectors have to notice a synthetic event
	Node          string
	Version       string
	Log           *slog.Logger
	Now           func() time.Time // nil: the real clock
}

// Defaults of Config.
const (
	ListenDefault    = "127.0.0.1:8420"
	HeartbeatDefault = time.Minute
	ScrubDefault     = 24 * time.Hour
	RenewDefault     = 5 * time.Minute
	ProbeDefault     = 15 * time.Minute
)

// keyFileName is the key file in the data directory.
const keyFileName = "writ.key"

// App is a server.
type App struct {
	config       Config
	keys         Keys
	store        *store.Store
	environments *live.Set
	change       *change.Service
	approval     *approval.Service
	contain      *contain.Service
	meter        *meter.Service
	incident     *incident.Service
	people       *people.Service
	outbox       *outbox.Service
	refusals     *api.Refusals
	metrics      *api.Metrics
	server       *http.Server
	listener     net.Listener
	listening    chan struct{} // closed once listener is set
	clerks       sync.Map      // gov.Environment to *ledger.Clerk
	scrubs       sync.Map      // gov.Environment to what the last scrub found wrong

	closing   chan struct{}   // closed first: pages that wait for news let go
	jobs      context.Context // ends then: no more background work
	stopJobs  context.CancelFunc
	writing   context.Context // ends last: the sequencers
	stopWrite context.CancelFunc
	running   sync.WaitGroup
	writers   sync.WaitGroup
	discovery discovery
	stopping  sync.Once
	stopped   error
}

// New opens the store and builds the server. Nothing runs before Start.
func New(ctx context.Context, c Config) (*App, error) {
	c = c.withDefaults()
	if c.Data == "" && (c.Database == "" || c.KeyFile == "") {
		return nil, errors.New("name a data directory (--data), or a database and a key file")
	}
	if c.PublicURL != "" {
		if err := people.CheckURL(c.PublicURL); err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
	}
	if err := checkSecrets(c.Secrets); err != nil {
		return nil, err
	}
	issuers, err := identity.NewIssuers(c.Issuers, c.Now)
	if err != nil {
		return nil, err
	}
	keys, err := LoadKeys(c.KeyFile, c.Origin, rand.Reader)
	if err != nil {
		return nil, err
	}
	st, err := openStore(ctx, c)
	if err != nil {
		return nil, err
	}
	a := &App{config: c, keys: keys, store: st, refusals: api.NewRefusals(), metrics: api.NewMetrics(), closing: make(chan struct{}), listening: make(chan struct{})}
	a.jobs, a.stopJobs = context.WithCancel(context.Background())
	a.writing, a.stopWrite = context.WithCancel(context.Background())
	engines := live.NewEngines(st)
	a.environments = live.NewSet(func(name gov.Environment) *live.Environment {
		l := ledger.New(st, name, ledger.Options{Now: c.Now, Log: c.Log})
		a.run(l)
		return live.NewEnvironment(l, engines)
	})
	if err := a.build(issuers); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return a, nil
}

func (c Config) withDefaults() Config {
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(c.Data, keyFileName)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Now = steady(c.Now)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Listen == "" {
		c.Listen = ListenDefault
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = HeartbeatDefault
	}
	if c.Renew == 0 {
		c.Renew = RenewDefault
	}
	if c.Probe == 0 {
		c.Probe = ProbeDefault
	}
	if c.Scrub == 0 {
		c.Scrub = ScrubDefault
	}
	if c.Node == "" {
		c.Node = nodeName()
	}
	return c
}

func nodeName() string {
	name, err := os.Hostname()
	if err != nil {
		return "node"
	}
	return name
}

func openStore(ctx context.Context, c Config) (*store.Store, error) {
	if c.Database != "" {
		return store.OpenPostgres(ctx, c.Database)
	}
	return store.OpenSQLite(ctx, c.Data)
}

// build makes the services and the server.
func (a *App) build(issuers *identity.Issuers) error {
	ids := &identity.Service{Credentials: a.environments, Issuers: issuers, Now: a.config.Now}
	scanner, err := scan.New()
	if err != nil {
		return fmt.Errorf("the scanner's weights: %w", err)
	}
	a.people = &people.Service{Environments: a.environments, Identity: ids, Key: a.keys.Digest, Now: a.config.Now, Rand: rand.Reader}
	ids.Sessions = a.people
	a.change = &change.Service{People: a.people, Provider: len(ids.PeopleIssuers()) > 0, Environments: a.environments, Key: a.keys.Digest, Now: a.config.Now, Rand: rand.Reader}
	a.approval = &approval.Service{Environments: a.environments, Passkeys: a.people, Key: a.keys.Digest, Now: a.config.Now, Rand: rand.Reader}
	a.contain = &contain.Service{Environments: a.environments, Key: a.keys.Digest, Now: a.config.Now, Rand: rand.Reader}
	a.meter = &meter.Service{Now: a.config.Now, Rand: rand.Reader}
	a.incident = &incident.Service{Environments: a.environments, Contain: a.contain, Key: a.keys.Digest, Now: a.config.Now, Rand: rand.Reader}
	teller := &notify.Client{Secret: a.secret, Now: a.config.Now}
	a.outbox = &outbox.Service{Sender: teller, URL: a.PublicURL, Pages: console.Root, Now: a.config.Now, Rand: rand.Reader}
	door := &api.Server{
		Approval: a.approval, People: a.people, Contain: a.contain, Incident: a.incident, Hooks: teller,
		Exercise:     &exercise.Service{Key: a.keys.Digest, Now: a.config.Now, Rand: rand.Reader},
		Environments: a.environments, Identity: ids, Change: a.change,
		Decide:  &decide.Service{Scanner: scanner, Environments: a.environments, Identity: ids, Key: a.keys.Digest, Now: a.config.Now, Rand: rand.Reader},
		Metrics: a.metrics, Refusals: a.refusals, Log: a.config.Log, LogKey: a.keys.VerifierKey, Verifier: a.keys.Verifier,
		Discover: a.discover, Ready: a.ready, PrivateLedger: a.config.PrivateLedger, NetworkRef: a.networkRef, Now: a.config.Now,
		Each: Parallel(max(1, runtime.NumCPU()/2)), Closing: a.closing, // half of the machine stays with the decisions
	}
	pages := &console.Server{
		API: door.Direct(), People: a.people, Identity: ids, Environments: a.environments, NetworkRef: a.networkRef, Now: a.config.Now, Log: a.config.Log,
		Closing: a.closing,
	}
	consoleHandler, err := pages.Handler()
	if err != nil {
		return err
	}
	a.server = &http.Server{
		Handler: doors(door.Handler(), consoleHandler), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.config.Log.Handler(), slog.LevelWarn),
	}
	a.registerStats()
	return nil
}

// doors sends people to the console, and everything else to the API.
func doors(api, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, console.Root+"/"):
			pages.ServeHTTP(w, r)
		case r.URL.Path == console.Root, r.URL.Path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html"):
			http.Redirect(w, r, console.Root+"/", http.StatusSeeOther)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// Start opens the ledgers, starts the background work and listens. adminToken is the first administrator's token, when this
// start made it: it is shown once.
func (a *App) Start(ctx context.Context) (adminToken string, err error) {
	if err := a.openLedgers(ctx); err != nil {
		return "", err
	}
	if adminToken, err = a.bootstrap(ctx); err != nil {
		return "", err
	}
	if a.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", a.config.Listen); err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	if err := a.people.UseURL(a.PublicURL()); err != nil {
		return "", err
	}
	close(a.listening)
	a.goRun("maintain store", func(ctx context.Context) { a.store.Maintain(ctx) })
	a.goRun("record refusals", a.recordRefusals)
	a.running.Go(func() {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.config.Log.Error("serve", "err", err)
		}
	})
	return adminToken, nil
}

// openLedgers opens every ledger that exists, and the one of the organization.
func (a *App) openLedgers(ctx context.Context) error {
	names, err := a.store.Ledgers(ctx)
	if err != nil {
		return err
	}
	for _, name := range append(names, gov.OrgLedger) {
		if err := a.environments.Open(name).Refresh(ctx); err != nil {
			return fmt.Errorf("ledger %s: %w", name, err)
		}
	}
	return nil
}

// bootstrap makes an administrator's token if no administrator has a valid one.
func (a *App) bootstrap(ctx context.Context) (string, error) {
	release, ok, err := a.store.TryLock(ctx, "bootstrap")
	if err != nil || !ok {
		return "", err // another node is at it
	}
	defer release()
	org, _ := a.environments.Environment(gov.OrgLedger)
	if err := org.Refresh(ctx); err != nil {
		return "", err
	}
	for _, c := range org.Control().Credentials() {
		if c.Role == state.RoleAdmin && c.Valid(a.config.Now()) {
			return "", nil
		}
	}
	req := identity.KeyRequest{Role: state.RoleAdmin, Lifetime: identity.LifetimeMax, Note: "bootstrap, made by the first start without a valid administrator"}
	issued, err := a.change.Issue(ctx, canon.Writ(), req)
	return issued.Token, err
}

// URL is where the server listens.
func (a *App) URL() string { return "http://" + a.listener.Addr().String() }

// PublicURL is where people reach the server. Browsers give passkeys to localhost by that name, and to no address.
func (a *App) PublicURL() string {
	if a.config.PublicURL != "" {
		return strings.TrimSuffix(a.config.PublicURL, "/")
	}
	_, port, err := net.SplitHostPort(a.listener.Addr().String())
	if err != nil {
		return a.URL()
	}
	return "http://localhost:" + port
}

// Keys are the server's keys.
func (a *App) Keys() Keys { return a.keys }

// stopMax bounds how long Stop waits for requests under way.
const stopMax = 10 * time.Second

// Stop answers what is under way, records what was counted, ends every goroutine and closes the store. Stopping twice is
// stopping once.
func (a *App) Stop() error {
	a.stopping.Do(func() { a.stopped = a.stop() })
	return a.stopped
}

func (a *App) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopMax)
	defer cancel()
	close(a.closing)
	var err error
	if a.listener != nil {
		err = a.server.Shutdown(ctx)
	}
	a.stopJobs()
	a.running.Wait()
	a.flushRefusals(ctx, true)
	a.stopWrite()
	a.writers.Wait()
	return errors.Join(err, a.store.Close())
}

// networkRef is an opaque reference of a network address, without its port.
func (a *App) networkRef(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	h := hmac.New(sha256.New, a.keys.Digest)
	h.Write([]byte("network\x00" + host))
	return "net_" + strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:10]))
}

// ready says why the server cannot answer, if it cannot.
func (a *App) ready(ctx context.Context) error {
	org, _ := a.environments.Environment(gov.OrgLedger)
	if _, err := org.Ledger.Head(ctx); err != nil {
		return errors.New("the store does not answer")
	}
	return a.scrubFailure()
}

// discovery keeps lookups for what other nodes opened from being used to load the database.
type discovery struct {
	mu   sync.Mutex
	last time.Time
}

// discoverEvery is how often, at most, a node looks for what it does not know.
const discoverEvery = 100 * time.Millisecond

// discover opens ledgers that other nodes opened and brings every environment up to date.
func (a *App) discover(ctx context.Context) error {
	a.discovery.mu.Lock()
	defer a.discovery.mu.Unlock()
	now := a.config.Now()
	if now.Sub(a.discovery.last) < discoverEvery {
		return nil
	}
	a.discovery.last = now
	return a.openLedgers(ctx)
}
