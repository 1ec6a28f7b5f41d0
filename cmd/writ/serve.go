package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/witness"
)

// place says where the records are.
type place struct {
	Data     string `help:"Directory of the embedded store and the key file." default:"writ-data" env:"WRIT_DATA" type:"path"`
	Database string `help:"PostgreSQL instead of the embedded store (postgres://…)." env:"WRIT_DATABASE"`
	KeyFile  string `help:"Key file, the same for every node (default: writ.key in the data directory)." env:"WRIT_KEY_FILE" type:"path"`
}

type serveCmd struct {
	place
	Listen        string        `help:"Address to listen on." default:"127.0.0.1:8420" env:"WRIT_LISTEN"`
	URL           string        `help:"Address under which people reach the server, https://writ.example.com (default: http://localhost and the port)." env:"WRIT_PUBLIC_URL" name:"url"`
	Secrets       string        `help:"Directory with the secrets that bundles name, one file each; beside it, variables: WRIT_SECRET_NAME." env:"WRIT_SECRETS" type:"path"`
	Origin        string        `help:"Origin of the ledger's checkpoints, for a key file that is made now (example.com/writ)." env:"WRIT_ORIGIN"`
	Witness       []string      `help:"Witness to ask for cosignatures: url=URL,key=VKEY. May be repeated." sep:"none" env:"WRIT_WITNESS"`
	Issuer        []string      `help:"Trusted issuer of tokens: url=URL,audience=AUD,for=agents|principals|people|changes,environment=ENV. May be repeated." sep:"none" env:"WRIT_ISSUER"`
	PrivateLedger bool          `help:"Ask for a credential on the ledger's read API too." env:"WRIT_PRIVATE_LEDGER"`
	Heartbeat     time.Duration `help:"Record a heartbeat after so much silence." default:"1m"`
	Scrub         time.Duration `help:"Derive every ledger again at this interval." default:"24h"`
	CPUProfile    string        `help:"Write a CPU profile (pprof) of the time until it stops." env:"WRIT_CPU_PROFILE" type:"path" name:"cpu-profile"`
	LogLevel      slog.Level    `help:"debug (a line per request), info, warn or error." default:"info" env:"WRIT_LOG_LEVEL"`
}

const (
	gcPercent = 400
	memoryMax = 80 << 20
)

// Help gives examples.
func (serveCmd) Help() string {
	return `Examples:
  writ serve                                        embedded store in ./writ-data, on 127.0.0.1:8420
  writ serve --data /var/lib/writ --listen :8420
  writ serve --database postgres://writ@db/writ --key-file /etc/writ/writ.key

The first start prints an administrator's token, once. Keep it: writ key and writ bundle activate need it.`
}

// Run serves until it is told to stop.
func (c serveCmd) Run(ctx context.Context, s std) error {
	config, err := c.config(s)
	if err != nil {
		return err
	}
	// Decisions leave much garbage and little else: collect it less often than Go does, within a bound.
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryMax)
	stopProfile, err := c.profile()
	if err != nil {
		return err
	}
	defer stopProfile()
	a, err := app.New(ctx, config)
	if err != nil {
		return err
	}
	token, err := a.Start(ctx)
	if err != nil {
		return closing(a, err)
	}
	hello := fmt.Sprintf("writ listens on %s\n", a.URL())
	if token != "" {
		hello += fmt.Sprintf("\nAdministrator's token, shown this once:\n\n  %s\n\nexport WRIT_URL=%s WRIT_ADMIN_TOKEN=%s\n\n", token, a.URL(), token)
	}
	fmt.Fprint(s.err, hello) // at once: who waits for the first line finds the token too
	<-ctx.Done()
	fmt.Fprintln(s.err, "writ stops")
	return a.Stop()
}

// profile starts the profile that was asked for.
func (c serveCmd) profile() (stop func(), err error) {
	if c.CPUProfile == "" {
		return func() {}, nil
	}
	f, err := os.Create(c.CPUProfile)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

func closing(a *app.App, err error) error {
	if stopped := a.Stop(); stopped != nil {
		return fmt.Errorf("%w (and %w)", err, stopped)
	}
	return err
}

func (c serveCmd) config(s std) (app.Config, error) {
	config := app.Config{
		Data: c.Data, Database: c.Database, KeyFile: c.KeyFile, Origin: c.Origin, Listen: c.Listen, PublicURL: c.URL, Secrets: c.Secrets, PrivateLedger: c.PrivateLedger,
		Heartbeat: c.Heartbeat, Scrub: c.Scrub, Version: version(),
		Log: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: c.LogLevel})),
	}
	for _, text := range c.Witness {
		w, err := witness.Parse(text)
		if err != nil {
			return config, err
		}
		config.Witnesses = append(config.Witnesses, w)
	}
	for _, text := range c.Issuer {
		i, err := identity.ParseIssuer(text)
		if err != nil {
			return config, err
		}
		config.Issuers = append(config.Issuers, i)
	}
	return config, nil
}
