package console

import (
	"testing"
)

func TestAnEventIsOneEvent(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"<p>a</p>":                       "event: x\ndata: <p>a</p>\n\n",
		"a\nb\r\nc\rd":                   "event: x\ndata: a\ndata: b\ndata: c\ndata: d\n\n",
		"a\n\nevent: over\r\rdata: gone": "event: x\ndata: a\ndata: \ndata: event: over\ndata: \ndata: data: gone\n\n",
	} {
		if got := string(eventOf("x", data)); got != want {
			t.Errorf("%q is the event %q, want %q", data, got, want)
		}
	}
}
