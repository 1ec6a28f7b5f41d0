// Package live is the control state of a node, kept up with its ledgers. It promises that a state it gives was the state of
// the ledger at some index, and that after Refresh it is at least as new as every change committed before the call. Whether
// it is the newest is decided where it matters, in the append.
package live

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/policy"
	"github.com/writ-dev/writ/internal/state"
)

// Environment is one ledger with its control state.
type Environment struct {
	Ledger  *ledger.Ledger
	engines *Engines
	control atomic.Pointer[state.Control]
	mu      sync.Mutex // held while refreshing
}

// NewEnvironment starts from the empty state; Refresh brings it up.
func NewEnvironment(l *ledger.Ledger, engines *Engines) *Environment {
	e := &Environment{Ledger: l, engines: engines}
	e.control.Store(state.NewControl(l.Name()))
	return e
}

// Control is the state as this node knows it.
func (e *Environment) Control() *state.Control { return e.control.Load() }

// Engine gives the compiled bundle of a digest that the ledger names.
func (e *Environment) Engine(ctx context.Context, digest gov.BundleDigest) (*policy.Engine, error) {
	return e.engines.Engine(ctx, digest)
}

// Refresh takes in the changes that were committed since. Without any it costs one small query.
func (e *Environment) Refresh(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	control := e.control.Load()
	changes, items, err := e.Ledger.ChangesSince(ctx, control.Epoch)
	if err != nil || len(changes) == 0 {
		return err
	}
	for i, item := range items {
		payload, err := e.Ledger.Payload(ctx, item.Index)
		if err != nil {
			return err
		}
		if control, err = control.Apply(item.Entry, payload, e.engines.compile(ctx)); err != nil {
			return fmt.Errorf("control state at index %d: %w", item.Index, err)
		}
		if control.Epoch != changes[i].Epoch {
			return fmt.Errorf("control state at index %d: epoch %d, the ledger says %d", item.Index, control.Epoch, changes[i].Epoch)
		}
	}
	e.control.Store(control)
	return nil
}

// Blobs gives content by digest.
type Blobs interface {
	Blob(ctx context.Context, digest string) ([]byte, bool, error)
}

// Engines compiles bundles that ledgers name, each once.
type Engines struct {
	blobs Blobs
	mu    sync.Mutex
	made  map[gov.BundleDigest]*policy.Engine
}

// NewEngines compiles from the blobs of a store.
func NewEngines(blobs Blobs) *Engines {
	return &Engines{blobs: blobs, made: map[gov.BundleDigest]*policy.Engine{}}
}

func (g *Engines) compile(ctx context.Context) state.Compile {
	return func(digest gov.BundleDigest) (*policy.Engine, error) { return g.Engine(ctx, digest) }
}

// Engine gives the compiled bundle of a digest. The content must have that digest.
func (g *Engines) Engine(ctx context.Context, digest gov.BundleDigest) (*policy.Engine, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e, ok := g.made[digest]; ok {
		return e, nil
	}
	data, ok, err := g.blobs.Blob(ctx, string(digest))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("bundle %s is not in the store", digest)
	}
	engine, err := Compile(data)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", digest, err)
	}
	if got := engine.Bundle().Digest; got != digest {
		return nil, fmt.Errorf("bundle %s: its content has the digest %s", digest, got)
	}
	g.made[digest] = engine
	return engine, nil
}

// Set is every environment of a node, and the ledger of the organization.
type Set struct {
	open func(gov.Environment) *Environment
	mu   sync.RWMutex
	all  map[gov.Environment]*Environment
}

// NewSet makes an empty set; open starts an environment that is asked for the first time.
func NewSet(open func(gov.Environment) *Environment) *Set {
	return &Set{open: open, all: map[gov.Environment]*Environment{}}
}

// Environment gives an environment that is open.
func (s *Set) Environment(name gov.Environment) (*Environment, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.all[name]
	return e, ok
}

// Open gives an environment, opened if it was not.
func (s *Set) Open(name gov.Environment) *Environment {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.all[name]
	if !ok {
		e = s.open(name)
		s.all[name] = e
	}
	return e
}

// Names lists the open ones, sorted.
func (s *Set) Names() []gov.Environment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := make([]gov.Environment, 0, len(s.all))
	for name := range s.all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Credential looks a credential up in every environment. It is what identity.Service asks.
func (s *Set) Credential(id gov.CredentialID) (state.Credential, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.all {
		if c, ok := e.Control().Credential(id); ok {
			return c, true
		}
	}
	return state.Credential{}, false
}

// RefreshAll refreshes every open environment.
func (s *Set) RefreshAll(ctx context.Context) error {
	for _, name := range s.Names() {
		e, _ := s.Environment(name)
		if err := e.Refresh(ctx); err != nil {
			return fmt.Errorf("environment %s: %w", name, err)
		}
	}
	return nil
}
