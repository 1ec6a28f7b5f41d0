package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/writ-dev/writ/examples"
	"github.com/writ-dev/writ/internal/app"
	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/puppet"
	writ "github.com/writ-dev/writ/sdk/go"
)

// throwaway is a server in a temporary directory, for what is not to be done to the real one. examples/acme is in force in it.
type throwaway struct {
	remote
	dir    string
	public string
	app    *app.App
}

const (
	throwawayReviewer = "user:maria" // of those who review changes in examples/acme
	throwawayAgent    = "support-bot"
)

// acmeTar is the bundle examples/acme, changed in a directory of its own.
func acmeTar(change func(dir string) error) ([]byte, error) {
	from, err := examples.Acme()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "writ-gameday-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, from); err != nil {
		return nil, err
	}
	if err := change(dir); err != nil {
		return nil, err
	}
	b, problems := bundle.Read(os.DirFS(dir))
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s:%d: %s", problems[0].File, problems[0].Line, problems[0].What)
	}
	return b.Tar(), nil
}

func asItIs(string) error { return nil }

// weakBundle is examples/acme without one of its policies, and without the tests that would say so.
func weakBundle(without string) ([]byte, error) {
	return acmeTar(func(dir string) error {
		return errors.Join(os.Remove(filepath.Join(dir, without)), os.RemoveAll(filepath.Join(dir, "tests")))
	})
}

// throwaway starts a server over a directory: a fresh one, with examples/acme in force, or one that holds records already. It is
// stopped when the drill is over.
func (d *drill) throwaway(ctx context.Context, dir string, scrub time.Duration, tar []byte) (*throwaway, error) {
	a, err := app.New(ctx, app.Config{Data: dir, Listen: "127.0.0.1:0", Scrub: scrub, Heartbeat: time.Second, Version: version()})
	if err != nil {
		return nil, err
	}
	token, err := a.Start(ctx)
	if err != nil {
		return nil, closing(a, err)
	}
	d.later("stop the throwaway server", func(context.Context) error { return a.Stop() })
	t := &throwaway{remote: remote{URL: a.URL(), AdminToken: token}, dir: dir, public: a.PublicURL(), app: a}
	if tar != nil {
		_, err = t.ask(ctx, token, http.MethodPost, "/v1/bundles", url.Values{"environment": {demoEnvironment}}, "application/x-tar", tar, nil)
	}
	return t, err
}

// tempDir is a directory that goes when the drill is over.
func (d *drill) tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "writ-gameday-")
	if err == nil {
		d.later("remove "+dir, func(context.Context) error { return os.RemoveAll(dir) })
	}
	return dir, err
}

// emergency puts a weaker bundle into force in an emergency on a throwaway server, and rolls it back.
func (d *drill) emergency(ctx context.Context) error {
	dir, err := d.tempDir()
	if err != nil {
		return err
	}
	tar, err := acmeTar(asItIs)
	if err != nil {
		return err
	}
	t, err := d.throwaway(ctx, dir, 0, tar)
	if err != nil {
		return err
	}
	weak, err := weakBundle("policies/company.cedar")
	if err != nil {
		return err
	}
	link, err := invitation(ctx, t.remote, throwawayReviewer, "Maria, played by the game day")
	if err != nil {
		return err
	}
	maria, err := puppet.Enrol(ctx, link)
	if err != nil {
		return err
	}
	away := d.onThrowaway(t)
	if err := away.begin(ctx); err != nil {
		return err
	}
	var change struct {
		ID    string `json:"id"`
		State string `json:"state"`
	}
	query := url.Values{"environment": {demoEnvironment}, "description": {"An exercise: a weaker policy"}}
	if _, err := t.ask(ctx, t.AdminToken, http.MethodPost, "/v1/changes", query, "application/x-tar", weak, &change); err != nil {
		return err
	}
	d.injectedAt(time.Now())
	if _, err := maria.Form(ctx, "/console/changes/"+change.ID+"/activate", url.Values{"emergency": {"yes"}, "reason": {"An exercise"}}); err != nil {
		return err
	}
	d.moment(time.Now(), "on the throwaway server one person puts the weaker bundle into force in an emergency")
	if _, err := d.noticeOn(ctx, t.remote, away.Exercise.Index, "change_outside"); err != nil {
		return err
	}
	if _, err := t.get(ctx, t.AdminToken, "/v1/changes/"+change.ID, nil, &change); err != nil {
		return err
	}
	d.want(change.State == "review_owed", "No review is owed: the change is %s.", change.State)
	if _, err := maria.Form(ctx, "/console/changes/rollback", url.Values{"environment": {demoEnvironment}, "reason": {"The exercise is over"}}); err != nil {
		return err
	}
	now := time.Now()
	d.moment(now, "the bundle before is in force again")
	d.contained(now)
	d.saw("The emergency was noticed, a review was owed, and it was rolled back.")
	return nil
}

// onThrowaway is the same drill on a throwaway server, where it is an exercise too.
func (d *drill) onThrowaway(t *throwaway) *drill {
	g := *d.gameday
	g.remote, g.Environment = t.remote, demoEnvironment
	return &drill{gameday: &g, scenario: d.scenario, session: d.session}
}

func (d *drill) begin(ctx context.Context) error {
	ask := map[string]any{"environment": d.Environment, "scenario": d.scenario.id, "agents": []string{throwawayAgent}, "detectors": append([]string{}, d.scenario.of...), "minutes": gamedayMinutes}
	_, err := d.send(ctx, d.AdminToken, http.MethodPost, "/v1/exercises", ask, &d.Exercise)
	return err
}

// support is a client of the throwaway server's agent.
func (t *throwaway) support(ctx context.Context) (*writ.Client, error) {
	return principalClient(ctx, t.remote, throwawayAgent, "runs_as")
}

var throwawayCall = writ.Call{Agent: throwawayAgent, Tool: "docs/search", Input: map[string]any{"query": "opening hours (exercise)"}}

// fullDisk is G6: the ledger has no room.
func fullDisk() scenario {
	return scenario{
		id: "G6", title: "audit writer fails",
		hypothesis: "A server whose records find no room answers no call; what it answered before is recorded; afterwards it goes on, and says that it was silent.",
		injected:   "A throwaway server whose files may not grow over a few megabytes is asked until there is no room, and beyond.",
		agents:     func(gamedayPlan) []string { return []string{throwawayAgent} },
		of:         []string{"recorder_gap"},
		expected:   []string{"recorder_gap"},
		run:        runFullDisk,
	}
}

const (
	roomBlocks  = 8192   // of 512 bytes, that a file of the throwaway server may have
	fillMost    = 30_000 // decisions until there is no room
	refusedSeen = 20     // asked for when there is none
	silence     = 4 * time.Second
	startMost   = 30 * time.Second
)

func runFullDisk(ctx context.Context, d *drill) error {
	dir, err := d.tempDir()
	if err != nil {
		return err
	}
	child, err := d.cramped(ctx, dir)
	if err != nil {
		return err
	}
	tar, err := acmeTar(func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "detectors.yaml"), []byte("detectors:\n  recorder_gap: {min: 2s}\n"), 0o600)
	})
	if err != nil {
		return err
	}
	if _, err := child.ask(ctx, child.AdminToken, http.MethodPost, "/v1/bundles", url.Values{"environment": {demoEnvironment}}, "application/x-tar", tar, nil); err != nil {
		return err
	}
	key, err := child.key(ctx)
	if err != nil {
		return err
	}
	answered, err := d.fill(ctx, child.remote, key)
	if err != nil {
		return err
	}
	if err := child.end(); err != nil {
		return err
	}
	if err := sleepFor(ctx, silence); err != nil {
		return err
	}
	return d.afterwards(ctx, dir, child.AdminToken, key, answered)
}

// fill asks until there is no room, and some more. It gives the ids of what was answered.
func (d *drill) fill(ctx context.Context, r remote, key string) (answered []string, err error) {
	body := []byte(`{"agent":"support-bot","tool":"docs/search","input":{"query":"opening hours (exercise)"}}`)
	var a struct {
		ID string `json:"id"`
	}
	refused := 0
	for range fillMost {
		_, err := r.ask(ctx, key, http.MethodPost, "/v1/decisions", nil, "application/json", body, &a)
		var problem *problemError
		switch {
		case err == nil:
			answered = append(answered, a.ID)
			continue
		case !errors.As(err, &problem):
			return nil, err
		}
		if refused++; refused == 1 {
			now := time.Now()
			d.injectedAt(now)
			d.contained(now)
			d.moment(now, "behind %d decisions: %s %s", len(answered), problem.Code, problem.Detail)
			d.want(problem.Code == "ledger_unavailable", "The agent is told %s, and not that the ledger is unavailable.", problem.Code)
		}
		if refused == refusedSeen {
			break
		}
	}
	d.want(refused > 0, "%d decisions found room.", len(answered))
	return answered, nil
}

// afterwards looks at the records of the server that had no room: everything that was answered is there, and it goes on.
func (d *drill) afterwards(ctx context.Context, dir, admin, key string, answered []string) error {
	var found bytes.Buffer
	if err := (verifyCmd{place: place{Data: dir}}).Run(ctx, std{nil, &found, &found}); err != nil {
		d.missed("The records do not verify: %v: %s", err, clipped(found.String(), 400))
	}
	t, err := d.throwaway(ctx, dir, 0, nil)
	if err != nil {
		return err
	}
	t.AdminToken = admin
	lost := 0
	for _, id := range answered {
		if _, err := t.get(ctx, admin, "/v1/decisions/"+id, nil, nil); err != nil {
			lost++
		}
	}
	d.want(lost == 0, "%d of %d answered decisions are not recorded.", lost, len(answered))
	client, err := writ.New(t.URL, key)
	if err != nil {
		return err
	}
	again, err := client.Decide(ctx, throwawayCall)
	if err != nil {
		d.missed("With room again it does not go on: %v", err)
		return nil
	}
	d.moment(again.At, "with room again the next call is answered with %s", again.Outcome)
	err = until(ctx, d.Wait, func() (bool, error) {
		w, ok, err := d.signal(ctx, t.remote, 0, "recorder_gap", nil)
		if ok {
			d.moment(w.time(), "recorder_gap noticed: %s", w.Signal.Summary)
			d.detected(w.time())
		}
		return ok, err
	})
	d.want(err == nil, "The silence was not noticed: %v.", err)
	d.saw("%d decisions were answered and all of them are recorded; without room none was answered.", len(answered))
	return nil
}

// cramped is a server in a process of its own, whose files may not grow.
type cramped struct {
	remote
	cmd *exec.Cmd
}

var (
	listensLine = regexp.MustCompile(`writ listens on (http://\S+)`)
	adminLine   = regexp.MustCompile(`writ_admin_[A-Za-z0-9]+_[A-Za-z0-9_-]+`)
)

// cramped starts it. The shell sets the limit, since a process that sets its own would have to live with it.
func (d *drill) cramped(ctx context.Context, dir string) (*cramped, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	script := fmt.Sprintf(`ulimit -f %d && exec "$0" serve --listen 127.0.0.1:0 --heartbeat 1s --data "$1" 2>&1`, roomBlocks)
	c := &cramped{cmd: exec.CommandContext(ctx, "/bin/sh", "-c", script, self, dir)}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	d.later("end the server that had no room", func(context.Context) error { return c.end() })
	late := time.AfterFunc(startMost, func() { _ = c.cmd.Process.Kill() }) // then its output ends, and with it the wait
	defer late.Stop()
	for lines := bufio.NewScanner(out); (c.URL == "" || c.AdminToken == "") && lines.Scan(); {
		if m := listensLine.FindStringSubmatch(lines.Text()); m != nil {
			c.URL = m[1]
		}
		if m := adminLine.FindString(lines.Text()); m != "" {
			c.AdminToken = m
		}
	}
	if c.AdminToken == "" {
		return nil, errors.New("the throwaway server did not start")
	}
	return c, nil
}

// end ends the process. How is of no interest: it had no room to say goodbye.
func (c *cramped) end() error {
	if c.cmd.ProcessState != nil {
		return nil
	}
	err := c.cmd.Process.Kill()
	var exit *exec.ExitError
	if waited := c.cmd.Wait(); waited != nil && !errors.As(waited, &exit) {
		return errors.Join(err, waited)
	}
	return err
}

func (c *cramped) key(ctx context.Context) (string, error) {
	var issued credential
	ask := map[string]string{"agent": "support-bot", "environment": "prod", "principal": "runs_as", "note": "exercise"}
	_, err := c.send(ctx, c.AdminToken, http.MethodPost, "/v1/credentials", ask, &issued)
	return issued.Token, err
}

// dbFile is the embedded store's file in a data directory.
func dbFile(dir string) string { return filepath.Join(dir, "writ.db") }
