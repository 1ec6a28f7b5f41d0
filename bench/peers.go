//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// The two sizes of bundle that are measured.
const (
	policiesFew  = 20
	policiesMany = 500
)

func (b *bench) addEcho(ctx context.Context) (*peer, error) {
	w, err := newWork(policiesFew)
	if err != nil {
		return nil, err
	}
	return b.add(startEcho(ctx, b.data, w))
}

// addOPA builds OPA when that has not been done, and starts it.
func (b *bench) addOPA(ctx context.Context, policies int, o opaOptions) (*peer, error) {
	w, err := newWork(policies)
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(b.out, "bin", "opa")
	if _, err := os.Stat(binary); err != nil {
		b.progress("building OPA, once (a minute or two)")
		if _, err := goBuild(ctx, opaModule, opaPackage, binary); err != nil {
			return nil, err
		}
	}
	return b.add(startOPA(ctx, binary, b.data, w, o))
}

// addWrit builds Writ and starts it with a bundle of so many policies.
func (b *bench) addWrit(ctx context.Context, policies int, store string) (*peer, error) {
	w, err := newWork(policies)
	if err != nil {
		return nil, err
	}
	binary, err := goBuild(ctx, ".", "./cmd/writ", filepath.Join(b.out, "bin", "writ"))
	if err != nil {
		return nil, fmt.Errorf("writ is not available: %w", err)
	}
	o := writOptions{name: fmt.Sprintf("writ %s %d", store, policies)}
	if store == storePostgres {
		if b.database == nil {
			if b.database, err = startPostgres(ctx, b.data); err != nil {
				return nil, fmt.Errorf("postgresql is not available: %w", err)
			}
		}
		if o.dsn, err = b.database.create(ctx, fmt.Sprintf("writ_%d", policies)); err != nil {
			return nil, err
		}
	}
	p, err := b.add(startWrit(ctx, binary, b.data, w, o))
	if err == nil && store == storePostgres {
		p.database = b.database.server
	}
	return p, err
}

// add keeps the peer, so that close stops it.
func (b *bench) add(p *peer, err error) (*peer, error) {
	if p != nil {
		b.peers = append(b.peers, p)
	}
	return p, err
}
