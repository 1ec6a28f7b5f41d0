package api

import (
	"context"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/ledger"
	"github.com/writ-dev/writ/internal/live"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/state"
)

// entryPage is a run of entries as they are hashed.
type entryPage struct {
	Ledger  gov.Environment  `json:"ledger"`
	Entries []jsontext.Value `json:"entries"`
	From    int64            `json:"from"`
	Next    int64            `json:"next"` // where the next page begins
	Size    int64            `json:"size"` // entries in the ledger
}

const entriesPerPageMax = 1000

func (s *Server) listEntries(ctx context.Context, r *request) (any, error) {
	params := r.URL.Query()
	env, err := s.environment(r, params.Get("ledger"))
	if err != nil {
		return nil, err
	}
	from, limit := int64(0), limitDefault
	for name := range params {
		switch value := params.Get(name); name {
		case "ledger":
		case "from":
			if from, err = strconv.ParseInt(value, 10, 64); err != nil || from < 0 {
				return nil, &gov.Error{Code: gov.CodeInvalidField, Path: "/from", Detail: "must be an index from 0"}
			}
		case "limit":
			if limit, err = readLimit(value, entriesPerPageMax); err != nil {
				return nil, err
			}
		default:
			return nil, &gov.Error{Code: gov.CodeUnknownField, Path: "/" + name, Detail: "is not a parameter; known are ledger, from, limit"}
		}
	}
	head, err := env.Ledger.Head(ctx)
	if err != nil {
		return nil, err
	}
	out := entryPage{Ledger: env.Ledger.Name(), Entries: []jsontext.Value{}, From: from, Size: head.Size}
	err = env.Ledger.Scan(ctx, from, min(from+int64(limit), head.Size), false, func(e ledger.Raw) error {
		out.Entries = append(out.Entries, e.Bytes)
		return nil
	})
	out.Next = from + int64(len(out.Entries))
	return out, err
}

// ledgerOfPath gives the ledger in the path. An open ledger is everybody's; a private one is its agents' and the
// administrators', for an environment is also what isolates.
func (s *Server) ledgerOfPath(r *request) (*live.Environment, error) {
	name := gov.Environment(r.PathValue("env"))
	if s.PrivateLedger && r.caller.Role != state.RoleAdmin && (r.caller.Role != state.RoleAgent || r.caller.Environment != name) {
		return nil, &gov.Error{Code: gov.CodeForbidden, Detail: "a private ledger is read by agents of its environment and by administrators"}
	}
	env, ok := s.Environments.Environment(name)
	if !ok { // another node may have opened it
		if err := s.Discover(r.Context()); err != nil {
			return nil, err
		}
		env, ok = s.Environments.Environment(name)
	}
	if !ok {
		return nil, &gov.Error{Code: gov.CodeNotFound, Detail: "there is no ledger " + string(name)}
	}
	return env, nil
}

// What of the read API may be cached: full tiles never change.
const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheNever   = "no-store"
)

func (s *Server) checkpoint(ctx context.Context, r *request) (any, error) {
	env, err := s.ledgerOfPath(r)
	if err != nil {
		return nil, err
	}
	c, err := env.Ledger.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return raw{"text/plain; charset=utf-8", cacheNever, c.Note}, nil
}

func (s *Server) ledgerKey(_ context.Context, r *request) (any, error) {
	env, err := s.ledgerOfPath(r)
	if err != nil {
		return nil, err
	}
	return raw{"text/plain; charset=utf-8", cacheNever, []byte(s.LogKey(env.Ledger.Name()) + "\n")}, nil
}

func (s *Server) tile(ctx context.Context, r *request) (any, error) {
	env, err := s.ledgerOfPath(r)
	if err != nil {
		return nil, err
	}
	_, path, _ := strings.Cut(r.URL.Path, "/tile/")
	ref, err := merkle.ParseTilePath("tile/" + path)
	if err != nil {
		return nil, &gov.Error{Code: gov.CodeNotFound, Detail: err.Error()}
	}
	data, ok, err := env.Ledger.Tile(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &gov.Error{Code: gov.CodeNotFound, Detail: "the ledger does not have this tile yet"}
	}
	cache := cacheNever
	if ref.Width == merkle.TileWidth {
		cache = cacheForever
	}
	return raw{"application/octet-stream", cache, data}, nil
}
