//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-dev/writ/bench/load"
)

const (
	stopNodes   = 3
	stopClients = 48
	stopThrows  = 50
	stopLoad    = 300 * time.Millisecond // before a throw, and after it
)

// runStops throws a kill switch again and again while three nodes over PostgreSQL are under load, and measures how long after its
// commit the last call was allowed.
func (b *bench) runStops(ctx context.Context) error {
	nodes, err := b.threeNodes(ctx)
	if err != nil {
		return err
	}
	s := &stops{b: b, nodes: nodes, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: stopClients}}}
	loaded, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	for c := range stopClients {
		group.Go(func() { s.call(loaded, nodes[c%stopNodes], c) })
	}
	h, asked := &load.Histogram{}, &load.Histogram{}
	for range stopThrows {
		if err = s.throw(ctx, h, asked); err != nil {
			break
		}
	}
	cancel()
	group.Wait()
	if err = errors.Join(err, s.failed()); err != nil {
		return err
	}
	ms := func(h *load.Histogram, q float64) float64 { return h.Quantile(q).Seconds() * 1e3 }
	text := b.machine(ctx) + fmt.Sprintf("- %d clients on %d nodes over PostgreSQL; %d switches; %d calls were allowed in between, none behind the index of a switch\n"+
		"\n| | p50 ms | p99 ms | most ms |\n|---|---|---|---|\n| from the commit of the switch to the last answer that allows | %.1f | %.1f | %.1f |\n| from asking for the switch to its answer | %.1f | %.1f | %.1f |\n",
		stopClients, stopNodes, stopThrows, s.allowed.Load(), ms(h, 0.5), ms(h, 0.99), ms(h, 1), ms(asked, 0.5), ms(asked, 0.99), ms(asked, 1))
	b.progress("\n%s", text)
	return writeSection(b.results, "Kill switches under load, three nodes, postgres", text)
}

// threeNodes starts Writ and two more nodes over the same database, with the same key file.
func (b *bench) threeNodes(ctx context.Context) ([]*peer, error) {
	first, err := b.addWrit(ctx, policiesFew, storePostgres)
	if err != nil {
		return nil, err
	}
	nodes := []*peer{first}
	for n := 1; n < stopNodes; n++ {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		args := append([]string{"serve", "--listen", address}, first.serveArgs()...)
		server, err := startProcess(ctx, exec.Command(first.binary, args...), filepath.Join(b.data, fmt.Sprintf("node-%d.log", n)), address)
		if err != nil {
			return nil, err
		}
		node := &peer{name: fmt.Sprintf("node %d", n), address: address, server: server, admin: first.admin, key: first.key, work: first.work}
		b.peers = append(b.peers, node)
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// stops is the load, and what it saw.
type stops struct {
	b       *bench
	nodes   []*peer
	client  *http.Client
	allowed atomic.Int64
	last    atomic.Int64 // nanoseconds since 1970: when the last call was allowed
	index   atomic.Int64 // highest of an allow
	wrong   atomic.Pointer[error]
}

func (s *stops) failed() error {
	if err := s.wrong.Load(); err != nil {
		return *err
	}
	return nil
}

// call asks for decisions until ctx ends.
func (s *stops) call(ctx context.Context, p *peer, client int) {
	body := p.work.variants[client%len(p.work.variants)].body()
	for n := 0; ctx.Err() == nil; n++ {
		call := strings.NewReplacer(load.CallMark, fmt.Sprintf("%d-%d", client, n), load.SessionMark, fmt.Sprint(client), load.UserMark, "001").Replace(body)
		var answer struct {
			Outcome string `json:"outcome"`
			Receipt struct {
				Index int64 `json:"index"`
			} `json:"receipt"`
		}
		err := s.post(ctx, p, p.key, "/v1/decisions", []byte(call), &answer)
		if err != nil && ctx.Err() == nil {
			s.wrong.Store(&err)
			return
		}
		if answer.Outcome == "allow" {
			s.allowed.Add(1)
			raise(&s.last, s.b.now().UnixNano())
			raise(&s.index, answer.Receipt.Index)
		}
	}
}

func raise(to *atomic.Int64, n int64) {
	for old := to.Load(); n > old && !to.CompareAndSwap(old, n); old = to.Load() {
	}
}

func (s *stops) post(ctx context.Context, p *peer, token, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, data)
	}
	return json.Unmarshal(data, into)
}

// throw engages a switch under load, looks at what was still allowed, and releases it.
func (s *stops) throw(ctx context.Context, after, asked *load.Histogram) error {
	time.Sleep(stopLoad)
	began := s.b.now()
	var page struct {
		Switches []struct {
			ID    string    `json:"id"`
			At    time.Time `json:"at"`
			Index int64     `json:"index"`
		} `json:"switches"`
	}
	node := s.nodes[int(began.UnixNano()/1000)%stopNodes]
	if err := s.post(ctx, node, node.admin, "/v1/switches", fmt.Appendf(nil, `{"environment":%q,"all":true,"reason":"bench"}`, environment), &page); err != nil {
		return err
	}
	asked.Add(s.b.now().Sub(began))
	time.Sleep(stopLoad)
	sw := page.Switches[0]
	if highest := s.index.Load(); highest > sw.Index {
		return fmt.Errorf("a call was allowed at index %d, behind the switch at %d", highest, sw.Index)
	}
	after.Add(max(0, time.Unix(0, s.last.Load()).Sub(sw.At)))
	var released json.RawMessage
	return s.post(ctx, node, node.admin, "/v1/switches/"+sw.ID+"/stage", []byte(`{"stage":"released","reason":"bench"}`), &released)
}
