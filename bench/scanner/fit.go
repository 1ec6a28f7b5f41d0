//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/writ-dev/writ/internal/scan"
)

// material is everything read once, so that models can be fitted to parts of it.
type material struct {
	data    []read // for tools: harmless and attacked
	prompts []read // for prompts: harmless and attacks
	tools   []read // harmless descriptions of tools
}

const timesEach = 4 // samples of each order

// gather composes the samples of the corpus and reads them.
func gather(c *corpus, seed uint64, times int) material {
	reader := scan.NewReader()
	comp := newComposer(seed, c.benign)
	data := comp.harmless(c.benign)
	data = append(data, comp.harmless(c.inputs)...)
	data = append(data, comp.harmless(c.tools)...)
	data = append(data, comp.attacks(c.orders, c.attacks, slices.DeleteFunc(wrappers(), wrapper.bare), times)...)
	var prompts []sample
	for _, d := range c.prompts {
		prompts = append(prompts, sample{source: d.source, text: d.text})
	}
	for _, d := range c.attacks {
		prompts = append(prompts, sample{source: d.source + "!", text: d.text, end: len(d.text)})
	}
	asked := readAll(reader, prompts)
	for i, r := range asked {
		if !r.attack() { // of three families only, so parts of them are left out
			asked[i].fold = int(hashOf(r.text) % folds)
		}
	}
	return material{data: readAll(reader, data), prompts: asked, tools: readAll(reader, comp.harmless(c.tools))}
}

// fit trains on what keep lets through and returns the file of weights.
func fit(m material, seed uint64, keep func(sample) bool) ([]byte, error) {
	only := func(reads []read) []read {
		return slices.DeleteFunc(slices.Clone(reads), func(r read) bool { return !keep(r.sample) })
	}
	data, prompts := only(m.data), only(m.prompts)
	var sets [scan.Sets][]int8
	var fine [scan.Sets][]scored
	for i, reads := range [][]read{data, prompts} {
		sets[i], fine[i] = crossed(reads, hypers()[i], seed)
	}
	tools := map[string]bool{}
	for _, r := range m.tools {
		tools[r.source] = true
	}
	fine[0] = slices.DeleteFunc(fine[0], func(s scored) bool { return !measured(s.source) })
	results := slices.DeleteFunc(slices.Clone(fine[0]), func(s scored) bool { return tools[s.source] })
	b := budgets()
	wide := b
	wide.model, wide.family = 0.01, 0.03
	return scan.WriteWeights(map[scan.Channel]scan.Calibration{
		scan.ToolResult:      calibrate(results, 0, b),
		scan.ToolInput:       calibrate(results, 0, b),
		scan.ToolDescription: calibrate(fine[0], 0, b),
		scan.Prompt:          calibrate(fine[1], 1, wide),
	}, sets)
}

// crossed trains on all, and scores each fold of the harmless texts with a model that has not learnt it.
func crossed(reads []read, h hyper, seed uint64) ([]int8, []scored) {
	seen := groups(reads)
	var fine []scored
	for f := range folds {
		w := quantise(learn(instances(reads, f), seen, h, seed))
		for _, r := range reads {
			if r.fold == f && !r.disguised && !r.attack() {
				fine = append(fine, score(r, w))
			}
		}
	}
	return quantise(learn(instances(reads, -1), seen, h, seed)), fine
}

func everything(sample) bool { return true }

func train(o options, c *corpus) error {
	began := time.Now()
	m := gather(c, o.seed, timesEach)
	fmt.Fprintf(os.Stderr, "read %d texts for data, %d prompts in %s\n", len(m.data), len(m.prompts), time.Since(began).Round(time.Second))
	file, err := fit(m, o.seed, everything)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "trained in %s: %d bytes\n", time.Since(began).Round(time.Second), len(file))
	return os.WriteFile(o.weights, file, 0o644)
}
