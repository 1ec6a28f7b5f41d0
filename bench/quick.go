//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"
)

const (
	quickConnections = 128
	quickRounds      = 5
	quickDuration    = 2 * time.Second
	warmDuration     = time.Second
)

// summary is the last line of the quick run. What could not be measured is null.
type summary struct {
	EchoRPS      *float64 `json:"echo_rps"`
	WritRPS      *float64 `json:"writ_rps"`
	OPARPS       *float64 `json:"opa_rps"`
	WritOverEcho *float64 `json:"writ_over_echo"`
	WritOverOPA  *float64 `json:"writ_over_opa"`
	WritP99MS    *float64 `json:"writ_p99_ms"`
}

// runQuick measures the echo, Writ on SQLite and OPA without logs and without a check of tokens, all with 20 policies.
func (b *bench) runQuick(ctx context.Context) error {
	echo, err := b.addEcho(ctx)
	if err != nil {
		return err
	}
	opa, err := b.addOPA(ctx, policiesFew, opaOptions{name: "opa"})
	if err != nil {
		return err
	}
	peers := []*peer{echo, opa}
	writ, missing := b.addWrit(ctx, policiesFew, storeSQLite)
	if missing == nil {
		peers = append(peers, writ)
	}
	if err := b.ready(ctx, peers, quickConnections, warmDuration); err != nil {
		return err
	}
	samples, err := b.rounds(ctx, peers, quickRounds, quickConnections, quickDuration)
	if err != nil {
		return err
	}
	s := summary{EchoRPS: number(median(samples["echo"], throughput), 0), OPARPS: number(median(samples["opa"], throughput), 0)}
	if missing == nil {
		w := samples[writ.name]
		s.WritRPS = number(median(w, throughput), 0)
		s.WritOverEcho, s.WritOverOPA = number(ratio(w, samples["echo"]), 3), number(ratio(w, samples["opa"]), 2)
		s.WritP99MS = number(median(w, millis99), 2)
	}
	line, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	fmt.Fprintln(os.Stdout, string(line))
	return missing
}

func millis50(s sample) float64 { return s.p50.Seconds() * 1e3 }

func millis99(s sample) float64 { return s.p99.Seconds() * 1e3 }

// number rounds to so many digits after the point.
func number(v float64, digits int) *float64 {
	scale := math.Pow10(digits)
	v = math.Round(v*scale) / scale
	return &v
}
