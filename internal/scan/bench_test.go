package scan_test

import (
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/scan"
)

// BenchmarkScan scans what a decision scans, short arguments of tools as JSON, and what tools answer.
func BenchmarkScan(b *testing.B) {
	prose := "The committee met on Tuesday and approved the minutes of the last meeting. Please send the signed form to the office by Friday; it is needed before the task can be closed.\n"
	for _, x := range []struct {
		name    string
		channel scan.Channel
		text    string
	}{
		{"input of 100 bytes", scan.ToolInput, `{"to":"ana@acme.example","subject":"Invoice 12","body":"Hi Ana, the invoice is attached. Thanks, Ben"}`},
		{"input of 500 bytes", scan.ToolInput, `{"channel":"#support","text":"` + strings.ReplaceAll(strings.TrimSpace(strings.Repeat(prose, 3))[:440], "\n", `\n`) + `","notify":false}`},
		{"prose of 1 KB", scan.ToolResult, strings.Repeat(prose, 6)[:1<<10]},
		{"prose of 16 KB", scan.ToolResult, strings.Repeat(prose, 96)[:16<<10]},
		{"JSON of 16 KB", scan.ToolResult, `{"body":"` + strings.Repeat(strings.ReplaceAll(prose, "\n", `\n`), 96)[:16<<10] + `"}`},
		{"attack of 1 KB", scan.ToolResult, strings.Repeat(prose, 6)[:900] + order},
	} {
		b.Run(x.name, func(b *testing.B) {
			s := scanner(b)
			b.ReportAllocs()
			b.SetBytes(int64(len(x.text)))
			for b.Loop() {
				s.Scan(x.channel, x.text)
			}
		})
	}
}
