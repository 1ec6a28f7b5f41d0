package policy

import (
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/writ-dev/writ/internal/bundle"
	"github.com/writ-dev/writ/internal/gov"
)

// The names of the Cedar schema.
const (
	typeUser         = "User"
	typeService      = "Service"
	typeOrganization = "Organization"
	typeGroup        = "Group"
	typeAgent        = "Agent"
	typeServer       = "Server"
	typeEnvironment  = "Environment"
	typeAction       = "Action"
)

const schemaHead = `// Generated from the catalogue of tools. Principals are who is accountable for a call; an action is a tool, in its categories.
entity Group;
entity User in [Group];
entity Service in [Group];
entity Organization in [Group];
entity Agent;
entity Environment;
entity Server in [Environment];

`

// schemaText generates the Cedar schema: one action per tool with the type of its input.
func schemaText(b *bundle.Bundle, shapes map[gov.ToolName]shape) string {
	var out strings.Builder
	out.WriteString(schemaHead)
	for _, c := range gov.Categories() {
		fmt.Fprintf(&out, "action %s;\n", quote(string(c)))
	}
	for i := range b.Tools {
		t := &b.Tools[i]
		fmt.Fprintf(&out, "\naction %s in [", quote(string(t.Name)))
		for j, c := range t.Categories {
			if j > 0 {
				out.WriteString(", ")
			}
			fmt.Fprintf(&out, "Action::%s", quote(string(c)))
		}
		out.WriteString("] appliesTo {\n  principal: [User, Service, Organization],\n  resource: [Server],\n  context: {\n    \"agent\": Agent,\n    \"input\": ")
		shapes[t.Name].cedar(&out)
		out.WriteString(",\n    \"session\": {\"labels\": Set<String>},\n    \"taint\": {\"fields\": Set<String>, \"kinds\": Set<String>, \"near_finding\": Bool},\n    \"findings\": Set<String>,\n    \"assurance\": String,\n    \"time\": datetime,\n    \"unrepresentable\": Set<String>\n  }\n};\n")
	}
	return out.String()
}

// validatorOf makes the strict validator of a generated schema.
func validatorOf(text string) (*validate.Validator, error) {
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(text)); err != nil {
		return nil, fmt.Errorf("generated schema: %w", err)
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("generated schema: %w", err)
	}
	return validate.New(resolved, validate.WithStrict()), nil
}
