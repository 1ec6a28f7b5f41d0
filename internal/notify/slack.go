package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/writ-dev/writ/internal/gov"
)

// What Slack takes, in characters.
const (
	slackHeaderMax = 150
	slackFieldMax  = 1900 // with its name 2,000; names need no escaping
	slackTextMax   = 590  // 3,000, but by escaping a text may grow fivefold
)

// slackMessage is a message of Block Kit. Text is what a notification on a phone shows.
type slackMessage struct {
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type     string        `json:"type"`
	Text     *slackText    `json:"text,omitempty"`
	Fields   []slackText   `json:"fields,omitempty"`
	Elements []slackButton `json:"elements,omitempty"`
}

type slackText struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim,omitzero"` // nothing in it becomes a link or a mention
}

type slackButton struct {
	Type string    `json:"type"`
	Text slackText `json:"text"`
	URL  string    `json:"url"`
}

func mrkdwn(text string) slackText { return slackText{Type: "mrkdwn", Text: text, Verbatim: true} }

func plain(text string) slackText { return slackText{Type: "plain_text", Text: text} }

// slackEscape keeps a text from being a link, a mention or a command.
func slackEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func slackOf(n gov.Notice) slackMessage {
	title := plain(slackEscape(clip(oneLine(n.Title), slackHeaderMax)))
	m := slackMessage{Text: title.Text, Blocks: []slackBlock{{Type: "header", Text: &title}}}
	section := slackBlock{Type: "section"}
	for _, f := range facts(n) {
		if f.name == factWhy {
			why := mrkdwn(slackEscape(clip(f.value, slackTextMax)))
			m.Blocks = append(m.Blocks, slackBlock{Type: "section", Text: &why})
			continue
		}
		section.Fields = append(section.Fields, mrkdwn("*"+f.name+"*\n"+slackEscape(clip(f.value, slackFieldMax)))) // seven at most, Slack takes ten
	}
	open := slackButton{Type: "button", Text: plain("Open in Writ"), URL: n.URL}
	m.Blocks = append(m.Blocks, section, slackBlock{Type: "actions", Elements: []slackButton{open}})
	return m
}

// slackErrorRE knows the words that Slack answers an error with: nothing else of an answer is repeated.
var slackErrorRE = regexp.MustCompile(`^[a-z_]{1,64}$`)

// slack sends a message to an incoming webhook, whose URL is the secret.
func (c *Client) slack(ctx context.Context, secret string, n gov.Notice) (gov.Sent, error) {
	to, err := endpoint(strings.TrimSpace(secret))
	if err != nil {
		return badSecret(err)
	}
	body, err := json.Marshal(slackOf(n))
	if err != nil {
		panic("notify: a message is not JSON: " + err.Error())
	}
	sent, answer, err := post(ctx, to, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, body)
	if err != nil && slackErrorRE.MatchString(answer) {
		err = fmt.Errorf("%w: %s", err, answer)
	}
	return sent, err
}
