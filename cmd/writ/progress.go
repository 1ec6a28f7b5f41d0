package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress is a bar on a terminal, and nothing elsewhere.
type progress struct {
	w     io.Writer
	what  string
	total int64
	began time.Time
	last  time.Time
	shown bool
}

const (
	progressEvery = 100 * time.Millisecond
	progressWidth = 30
)

// newProgress makes the bar of some work. total 0 means that nobody knows how much there is.
func newProgress(w io.Writer, what string, total int64) *progress {
	if f, ok := w.(*os.File); !ok || !terminal(f) {
		w = nil
	}
	return &progress{w: w, what: what, total: total, began: time.Now()}
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// at shows how far the work is.
func (p *progress) at(done int64) {
	now := time.Now()
	if p.w == nil || now.Sub(p.last) < progressEvery && done != p.total {
		return
	}
	p.last, p.shown = now, true
	rate := float64(done) / max(now.Sub(p.began).Seconds(), 1e-3)
	if p.total <= 0 {
		fmt.Fprintf(p.w, "\r%s %d, %.0f/s ", p.what, done, rate)
		return
	}
	full := int(min(done, p.total) * progressWidth / p.total)
	fmt.Fprintf(p.w, "\r%s [%s%s] %d of %d, %.0f/s ", p.what, strings.Repeat("#", full), strings.Repeat(".", progressWidth-full), done, p.total, rate)
}

// end leaves the bar's line.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.w)
	}
}
