//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	echoBodyMax = 64 << 10
	// echoAnswer has the size of a decision's answer.
	echoAnswer = `{"id":"dec_01JC0000000000000000000000","outcome":"allow","mode":"enforce","reasons":[{"code":"policy_permit",` +
		`"policy":"staff-read-only","message":"Permitted."}],"policies":["staff-read-only"],` +
		`"bundle":"sha256:0000000000000000000000000000000000000000000000000000000000000000","receipt":{"ledger":"prod","index":1,` +
		`"leaf_hash":"0000000000000000000000000000000000000000000000000000000000000000"},"at":"2026-11-23T00:00:00.000000Z"}`
)

// serveEcho is the least that a Go server can do with the request: read it and answer. It runs in a process of its own.
func serveEcho(ctx context.Context, address string) error {
	answer := []byte(echoAnswer)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/decisions", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, echoBodyMax)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // the client has gone: nobody to tell
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: startMax, IdleTimeout: time.Hour}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("echo: %w", err)
	}
	return nil
}

// startEcho starts this binary again as the echo peer.
func startEcho(ctx context.Context, out string, w work) (*peer, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	server, err := startProcess(ctx, exec.Command(self, "-serve-echo", address), filepath.Join(out, "echo.log"), address)
	if err != nil {
		return nil, err
	}
	p := &peer{name: "echo", address: address, server: server, work: w, check: checkEcho}
	p.templates, err = w.templates("/v1/decisions", "writ_key_00000000_00000000000000000000000000000000", asIs,
		func(variant) string { return `"outcome":"allow"` })
	return p, err
}

func checkEcho(body []byte, _ variant) error {
	if !json.Valid(body) || string(body) != echoAnswer {
		return errors.New("not the echo's answer")
	}
	return nil
}
