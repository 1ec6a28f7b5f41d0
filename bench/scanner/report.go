//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/writ-dev/writ/internal/scan"
)

// evaluate measures and writes the report.
func evaluate(o options, c *corpus) error {
	file, err := os.ReadFile(o.weights)
	if err != nil {
		return err
	}
	s, err := scan.WithWeights(file)
	if err != nil {
		return err
	}
	b := &strings.Builder{}
	preface(b, s, len(file))
	if err := speed(b, s, c); err != nil {
		return err
	}
	if err := data(b, o, s); err != nil {
		return err
	}
	calibrated(b, s)
	if o.fast {
		keep(b, o.report, s.Version())
	} else {
		played, err := rounds(o, c)
		if err != nil {
			return err
		}
		recall(b, played)
		harmlessTable(b, played)
		conditions(b, played)
		learnt(b, o, c, s)
	}
	return os.WriteFile(o.report, []byte(b.String()), 0o644)
}

const firstLong = "## Attacks in tool results"

// keep takes the part of the last report that needs training, and says of which scanner it is when that is another.
func keep(b *strings.Builder, path, version string) {
	old, err := os.ReadFile(path)
	if err != nil {
		return
	}
	at := strings.Index(string(old), firstLong)
	if at < 0 {
		return
	}
	_, of, _ := strings.Cut(string(old), "Scanner ")
	of, _, _ = strings.Cut(of, ",")
	if of != version {
		fmt.Fprintf(b, "**What follows was measured with scanner %s, which is not the one above: `go run ./bench/scanner evaluate` measures it again.**\n\n", of)
	}
	b.Write(old[at:])
}

func preface(b *strings.Builder, s *scan.Scanner, size int) {
	_, unseen := wrapperSets()
	fmt.Fprintf(b, `# The scanner, measured

Written by `+"`go run ./bench/scanner evaluate`"+`; data as in `+"`../shared/data`"+`, seed 1. How the model is trained and what it is not:
`+"`internal/scan/MODEL.md`"+`. Scanner %s, weights of %d bytes.

Nothing here was measured on what the model had learnt, except where it says "shipped weights". Each round trains without one source
of attacks, without one or two harmless families (neither as harmless text nor around attacks) and without %d families of wrappers, sets
its thresholds on the rest, and judges what was left out. AgentDyn was never learnt and never calibrated on. A text counts as found
when a finding of any band overlaps the payload.

`, s.Version(), size, len(unseen))
}

// speed scans passages of several sizes, one after the other, and takes the time of each: by the clock, and on the processor for
// this thread alone, which other work on the machine lengthens less.
func speed(b *strings.Builder, s *scan.Scanner, c *corpus) error {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("not known")
	}
	fmt.Fprintf(b, `## Time

Shipped weights, %s, a machine of two cores shared with other work (load %s); passages of harmless and attacked tool results, each
scanned three times after a warm-up. "CPU": what the scanning thread ran on a processor, with what the garbage collector made it do, without the collector's own
threads; of the first scan, and of the fastest of the three, because whoever shares a processor's caches lengthens that too. "Apart": the slowest twentieth is scanned
five times more when all others of its size are done, since a busy neighbour lengthens a run of passages, and a slow passage is slow at any time. "Wall": the first
scan by the clock, so with whatever else the machine did meanwhile. All in µs/KB.

| passage | texts | CPU p50 | CPU p99 | fastest p50 | fastest p99 | apart p99 | wall p50 | wall p99 |
|---|---|---|---|---|---|---|---|---|
`, runtime.Version(), strings.TrimSpace(string(load)))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := rand.New(rand.NewPCG(3, 3))
	docs := slices.Concat(c.benign, c.held, c.attacked)
	for _, size := range []int{1, 4, 16, 64} {
		var cpu, wall []int
		var scanned []scannedText
		for i := range 1500 {
			text := ""
			for len(text) < size<<10 {
				text += docs[r.IntN(len(docs))].text + "\n"
			}
			text = passage(r, text, size<<10)
			first, byClock, err := timed(func() { s.Scan(scan.ToolResult, text) })
			if err != nil {
				return err
			}
			least, err := fastest(s, text, first, 2)
			if err != nil {
				return err
			}
			if i >= 100 {
				cpu, wall = append(cpu, perKB(first, text)), append(wall, perKB(byClock, text))
				scanned = append(scanned, scannedText{text, least})
			}
		}
		least := leastOf(scanned)
		apart, err := again(s, scanned)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "| %d KB | %d |", size, len(cpu))
		for _, v := range []float64{micros(cpu, 0.5), micros(cpu, 0.99), micros(least, 0.5), micros(least, 0.99), micros(apart, 0.99), micros(wall, 0.5), micros(wall, 0.99)} {
			fmt.Fprintf(b, " %.1f |", v)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	return nil
}

// scannedText is a passage with the time of its fastest scan so far.
type scannedText struct {
	text  string
	least time.Duration
}

// fastest scans a text so many times more and gives the least of the times.
func fastest(s *scan.Scanner, text string, least time.Duration, more int) (time.Duration, error) {
	for range more {
		took, _, err := timed(func() { s.Scan(scan.ToolResult, text) })
		if err != nil {
			return 0, err
		}
		least = min(least, took)
	}
	return least, nil
}

// again scans the slowest twentieth some more, and gives the times of all.
func again(s *scan.Scanner, all []scannedText) ([]int, error) {
	slices.SortFunc(all, func(a, b scannedText) int { return perKB(b.least, b.text) - perKB(a.least, a.text) })
	for i := range all[:len(all)/20] {
		var err error
		if all[i].least, err = fastest(s, all[i].text, all[i].least, 5); err != nil {
			return nil, err
		}
	}
	return leastOf(all), nil
}

func leastOf(all []scannedText) []int {
	var out []int
	for _, x := range all {
		out = append(out, perKB(x.least, x.text))
	}
	return out
}

// perKB is nanoseconds for each 1024 bytes.
func perKB(took time.Duration, text string) int {
	return int(float64(took) / (float64(len(text)) / 1024))
}

func micros(nanos []int, q float64) float64 { return float64(quantile(nanos, q)) / 1000 }

// timed runs something on a locked thread and takes the time on the processor and by the clock.
func timed(do func()) (onCPU, byClock time.Duration, err error) {
	before, err := threadTime()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	do()
	byClock = time.Since(began)
	after, err := threadTime()
	return after - before, byClock, err
}

// threadTime is how long this thread has run on a processor.
func threadTime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0, fmt.Errorf("time of the thread: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

func data(b *strings.Builder, o options, s *scan.Scanner) error {
	runs, err := following(o, s)
	if err != nil {
		return err
	}
	all := 0
	for _, t := range runs {
		all += t[0].n
	}
	fmt.Fprintf(b, `## Following the data

Shipped weights, which have not learnt AgentDyn; its %d recorded runs of user tasks. "identifier": a call with effects has an identifier that
only a tool's result had, not the user, the system prompt or an earlier call with effects. "and finding": the scanner fires within %d bytes of it.
On 704 benign and 888 attacked runs of more suites, which are not part of the data, 97.5 %% / 43 %% and 90.2 %% / 4.4 %% were measured earlier.

| runs | identifier | and finding | a finding anywhere |
|---|---|---|---|
`, all, nearBytes)
	for _, k := range sortedKeys(runs) {
		t := runs[k]
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", k, t[0], t[1], t[2])
	}
	b.WriteString("\n")
	return nil
}

// calibrated writes the rates that findings carry.
func calibrated(b *strings.Builder, s *scan.Scanner) {
	b.WriteString("## Bands\n\nThe share of harmless texts that reached a band of the model in calibration, by models that had not learnt them; what every finding carries.\n\n| channel | low | medium | high | rules that are reported by themselves |\n|---|---|---|---|---|\n")
	for _, c := range scan.Channels() {
		cal := s.Calibration(c)
		fmt.Fprintf(b, "| %s |", c)
		for _, band := range cal.Bands {
			fmt.Fprintf(b, " %.2f %% |", 100*band.Rate)
		}
		fmt.Fprintf(b, " %d |\n", len(cal.Rules))
	}
	b.WriteString("\n")
}

// recall writes what was found of attacks.
func recall(b *strings.Builder, played []round) {
	b.WriteString(firstLong + ", each source left out\n\n\"known styles\": its orders in wrappers that other orders were learnt in; \"new wrappers\": in wrappers that were left out too; \"bare\": the order by itself, which is not learnt;\n\"whole\": complete attacks of the source, put into carriers; \"as prompt\": the same in the prompt channel.\n\n\"AUC\" is against AgentDyn's clean results and the harmless family that the round left out, which is named.\n\n| source | known styles | new wrappers | bare | whole | as prompt | AUC | AUC known | against |\n|---|---|---|---|---|---|---|---|---|\n")
	var macro, knownOnly []float64
	knowns, news := map[string]tally{}, map[string]tally{}
	seen := map[string]bool{}
	for _, r := range played {
		if seen[r.source] { // a round more, for its harmless family
			continue
		}
		seen[r.source] = true
		var known, bare tally
		for _, k := range sortedKeys(r.known) {
			if (wrapper{family: k}).bare() {
				bare.add(r.known[k])
			} else {
				known.add(r.known[k])
			}
			sum(knowns, k, r.known[k])
		}
		for _, k := range sortedKeys(r.unseen) {
			sum(news, k, r.unseen[k])
		}
		unseen := total(r.unseen)
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %.3f | %s | %s |\n", r.source, known, unseen, bare, r.whole, r.prompt, r.auc, orDash(r.aucKnown), r.family)
		all := known
		all.add(unseen)
		all.add(bare)
		all.add(r.whole)
		macro = append(macro, all.rate())
		if known.n > 0 {
			knownOnly = append(knownOnly, known.rate())
		}
	}
	var at tally
	for _, k := range sortedKeys(played[0].attacked) {
		fmt.Fprintf(b, "| %s (recorded results) | | | | %s | | | | |\n", k, played[0].attacked[k])
		at = played[0].attacked[k]
		macro = append(macro, at.rate())
	}
	fmt.Fprintf(b, "\nMacro recall over %d sources: %s. Known styles, macro over sources of orders: %s. Intervals of 95 %%, bootstrap over sources.\n\n", len(macro), interval(macro), interval(knownOnly))
	b.WriteString("By wrapper, all sources of orders:\n\n| wrapper | found | | new wrapper | found |\n|---|---|---|---|---|\n")
	a, n := sortedKeys(knowns), sortedKeys(news)
	for i := range max(len(a), len(n)) {
		row := "| | "
		if i < len(a) {
			row = fmt.Sprintf("| %s | %s", a[i], knowns[a[i]])
		}
		if i < len(n) {
			row += fmt.Sprintf(" | | %s | %s |\n", n[i], news[n[i]])
		} else {
			row += " | | | |\n"
		}
		b.WriteString(row)
	}
	b.WriteString("\n")
}

func orDash(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}

func sum(in map[string]tally, key string, t tally) {
	s := in[key]
	s.add(t)
	in[key] = s
}

// interval is a mean with its bootstrap interval.
func interval(values []float64) string {
	r := rand.New(rand.NewPCG(11, 11))
	mean := func(pick func(int) float64) float64 {
		s := 0.0
		for i := range values {
			s += pick(i)
		}
		return 100 * s / float64(len(values))
	}
	var means []int
	for range 2000 {
		means = append(means, int(10*mean(func(int) float64 { return values[r.IntN(len(values))] })))
	}
	return fmt.Sprintf("%.1f %% (%.1f to %.1f)", mean(func(i int) float64 { return values[i] }), float64(quantile(means, 0.025))/10, float64(quantile(means, 0.975))/10)
}

// harmlessTable writes what was flagged of harmless texts.
func harmlessTable(b *strings.Builder, played []round) {
	b.WriteString("## Harmless tool results, each family left out\n\nFlagged in any band. Trigger sentences and what colleagues ask of each other are made up by the grammar, by whole templates that were left out; \"colleagues\" (\"please add kim@… to the thread\") has the words\nof attackers' orders and is not held to a bound. \"Made\" are documents that are nothing but such sentences, by genre; they are learnt and no threshold is\nset on them.\n\n| family | flagged | by the model |\n|---|---|---|\n")
	var held, sumAll tally
	seen := map[string]bool{}
	for _, r := range played {
		if !seen[r.family] {
			seen[r.family] = true
			fmt.Fprintf(b, "| %s | %s | %d |\n", r.family, r.harmless, r.harmless.byModel)
			if r.family != "colleagues" && r.family != "trigger" {
				sumAll.add(r.harmless)
			}
		}
		held.add(r.held)
	}
	for _, r := range played {
		if r.also != "" {
			fmt.Fprintf(b, "| made: %s | %s | %d |\n", r.also, r.made, r.made.byModel)
		}
	}
	fmt.Fprintf(b, "| agentdyn, in all rounds | %s | %d |\n| all that are real | %s | %d |\n\n", held, held.byModel, sumAll, sumAll.byModel)
}

// conditions writes what depth and disguise do.
func conditions(b *strings.Builder, played []round) {
	places, ways := map[string]tally{}, map[string]tally{}
	for _, r := range played {
		for _, k := range sortedKeys(r.places) {
			sum(places, k, r.places[k])
		}
		for _, k := range sortedKeys(r.disguised) {
			sum(ways, k, r.disguised[k])
		}
	}
	b.WriteString("## Place\n\nThe same payloads at depths of a text of 17 KB, and alone.\n\n| depth | found | of that at 0 |\n|---|---|---|\n")
	for _, k := range sortedKeys(places) {
		fmt.Fprintf(b, "| %s | %s | %.1f %% |\n", k, places[k], 100*places[k].rate()/places[" 0 KB"].rate())
	}
	b.WriteString("\n## Disguise\n\nThe same payloads in the same passages of 1.5 KB.\n\n| disguise | found | of plain |\n|---|---|---|\n")
	for _, k := range sortedKeys(ways) {
		fmt.Fprintf(b, "| %s | %s | %.1f %% |\n", k, ways[k], 100*ways[k].rate()/ways["plain"].rate())
	}
}

// learnt writes what the shipped thresholds flag of texts that were not learnt, of families that were.
func learnt(b *strings.Builder, o options, c *corpus, s *scan.Scanner) {
	b.WriteString("\n## Harmless texts in calibration\n\nAs in calibration: each text scored by a model that has not learnt it, its family nor a quarter of the others (of prompts: nor a quarter of all), at the\nshipped thresholds, by the model and the rules that are reported by themselves. The thresholds were set on these texts.\n\n| family | tool results | | family | prompts |\n|---|---|---|---|---|\n")
	m := gather(c, o.seed, timesEach)
	var rows [2][]string
	for i, reads := range [][]read{m.data, m.prompts} {
		cal := s.Calibration([]scan.Channel{scan.ToolResult, scan.Prompt}[i])
		_, fine := crossed(reads, hypers()[i], o.seed)
		by := map[string]tally{}
		for _, d := range fine {
			t := tally{n: 1}
			if best(d, cal) >= 0 || slices.ContainsFunc(d.rules, func(id string) bool { _, alone := cal.Rules[id]; return alone }) {
				t.flagged = 1
			}
			family, _, _ := templated(d.source)
			sum(by, family, t)
			sum(by, "~ all", t)
		}
		for _, k := range sortedKeys(by) {
			rows[i] = append(rows[i], fmt.Sprintf("%s | %s", k, by[k]))
		}
	}
	for i := range max(len(rows[0]), len(rows[1])) {
		left, right := "|", "|"
		if i < len(rows[0]) {
			left = rows[0][i]
		}
		if i < len(rows[1]) {
			right = rows[1][i]
		}
		fmt.Fprintf(b, "| %s | | %s |\n", left, right)
	}
}
