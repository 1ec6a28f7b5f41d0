package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/writ-dev/writ/internal/gov"
)

var (
	labelRE  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
	digestRE = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// schemaInner is the name of a schema to the library; nothing is fetched from it.
const schemaInner = "writ:input"

// tools reads tools.yaml.
func (r *reader) tools() {
	v, ok := r.docs[fileTools]
	if !ok {
		return
	}
	for _, m := range v.fields(fileTools, 1, "tools!")("tools").members("tools") {
		if !gov.ValidTool(m.key) {
			r.wrong(m.file, m.line, "write server/tool, as in stripe/refund", "%q cannot name a tool", m.key)
			continue
		}
		r.b.Tools = append(r.b.Tools, r.tool(m))
	}
}

func (r *reader) tool(m member) Tool {
	what := "tool " + m.key
	get := m.fields(what, m.line, "description!", "categories!", "labels", "input_schema!", "secret", "definition_digest", "environments")
	t := Tool{
		Name: gov.ToolName(m.key), File: m.file, Line: m.line, Description: get("description").text("description"),
		Categories: listOf(get("categories"), "categories", gov.Categories()), Labels: get("labels").labels(),
		DefinitionDigest: get("definition_digest").text("definition_digest"),
		Environments:     listOf(get("environments"), "environments", environmentNames(r.b)),
	}
	if v := get("categories"); v.given() && len(v.node.Content) == 0 {
		v.wrong("name at least one of "+list(words(gov.Categories())), "%s has no category", what)
	}
	if v := get("environments"); v.given() && len(v.node.Content) == 0 {
		v.wrong("name some, or remove the key to mean everywhere", "%s is for no environment", what)
	}
	if t.DefinitionDigest != "" && !digestRE.MatchString(t.DefinitionDigest) {
		get("definition_digest").wrong("write sha256: and 64 hexadecimal digits", "definition_digest is %q", t.DefinitionDigest)
	}
	slices.Sort(t.Categories)
	schema := get("input_schema").schema(what)
	t.InputSchema, t.Secret = encoded(schema), get("secret").secret(what, schema)
	return t
}

// labels gives a sorted list of words that a session can remember.
func (v value) labels() []gov.Label {
	var out []gov.Label
	for _, item := range v.items("labels") {
		text := item.text("a label")
		if text == "" {
			continue
		}
		if !labelRE.MatchString(text) {
			item.wrong("use lower-case letters, digits, dash and underscore, 64 at most", "%q cannot be a label", text)
			continue
		}
		out = append(out, gov.Label(text))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// schema reads a JSON Schema of an object that compiles by itself.
func (v value) schema(what string) map[string]any {
	if !v.given() {
		return nil
	}
	const remedy = "write a JSON Schema (2020-12) of an object, with every $ref inside it"
	out := v.object("input_schema")
	if out == nil {
		return nil
	}
	if out["type"] != "object" {
		v.wrong("begin it with type: object", "the input_schema of %s does not say that it is an object", what)
		return nil
	}
	if err := compile(out); err != nil {
		v.wrong(remedy, "the input_schema of %s: %s", what, strings.Join(strings.Fields(err.Error()), " "))
		return nil
	}
	return out
}

// compile compiles a schema without a way to load another one.
func compile(schema map[string]any) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded(schema)))
	if err != nil {
		return fmt.Errorf("read it: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource(schemaInner, doc); err != nil {
		return fmt.Errorf("add it: %w", err)
	}
	if _, err := c.Compile(schemaInner); err != nil {
		return fmt.Errorf("compile it: %w", err)
	}
	return nil
}

// encoded gives JSON with sorted keys, or nothing for nothing.
func encoded(schema map[string]any) json.RawMessage {
	if schema == nil {
		return nil
	}
	data, err := json.Marshal(schema)
	if err != nil {
		panic(fmt.Sprintf("bundle: what was parsed from JSON is not JSON: %v", err))
	}
	return data
}

// secret reads the pointers of secret fields, sorted. Each has to lead to a plain string of the schema: a pointer that
// leads nowhere would leave a secret in the record, and the text that takes a secret's place has to fit the schema.
func (v value) secret(what string, schema map[string]any) []string {
	var out []string
	for _, item := range v.items("secret") {
		text := item.text("a secret field")
		if text == "" || schema == nil {
			continue
		}
		path, ok := pointerPath(text)
		if !ok {
			item.wrong("write /field or /field/inner (RFC 6901)", "the secret field %q is not a JSON pointer", text)
			continue
		}
		field, known := lead(schema, path)
		if field == nil {
			item.wrong(suggest(path[len(path)-1], known), "%s has no input field %s", what, text)
			continue
		}
		if why := bars(field); why != "" {
			item.wrong("make it type: string and nothing else; the policy never sees its value", "the secret field %s of %s %s", text, what, why)
			continue
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lead follows a path through properties and items; on the way out of it, it gives the names that it knew there.
func lead(schema map[string]any, path []string) (field map[string]any, known []string) {
	for _, token := range path {
		properties, _ := schema["properties"].(map[string]any)
		next, ok := properties[token].(map[string]any)
		if _, index := arrayIndex(token); !ok && index {
			next, ok = schema["items"].(map[string]any)
		}
		if !ok {
			known = known[:0]
			for name := range properties {
				known = append(known, name)
			}
			return nil, known
		}
		schema = next
	}
	return schema, nil
}

// bars says why a field cannot hold the text that takes a secret's place.
func bars(field map[string]any) string {
	if field["type"] != "string" {
		return "is not a string"
	}
	for _, key := range []string{"pattern", "maxLength", "minLength", "enum", "const", "format", "$ref", "allOf", "anyOf", "oneOf", "not"} {
		if _, ok := field[key]; ok {
			return "has " + key
		}
	}
	return ""
}
