package bundle

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"

	"github.com/writ-dev/writ/internal/gov"
)

// The bounds of channels.
const (
	channelsMax     = 32
	addressesMax    = 50 // of one channel
	addressBytesMax = 254
	urlBytesMax     = 500
)

var (
	// secretRE is what a secret may be called: it names a variable of the environment and a file.
	secretRE = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	// addressRE leaves out what mail allows and nobody uses, so that an address is one word that needs no quotes.
	addressRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.!#$%&'*+/=?^_{|}~-]*@[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)*$`)
)

// Channel is one way to tell people of what waits for them. The secret is only named here; the server has its value.
type Channel struct {
	ID           gov.ChannelID
	Type         gov.ChannelType
	Secret       string            // its name; empty: an alertmanager channel that has a URL and asks for no password
	URL          string            // of a pagerduty or alertmanager channel; empty: PagerDuty's, or the one that the secret is
	From         string            // address, of an email channel
	To           []string          // addresses, of an email channel
	Events       []gov.Event       // at least one
	Groups       []gov.GroupID     // of what is asked of one of these groups only; empty: of all
	Environments []gov.Environment // of these only; empty: of all
}

// Wants says whether the channel tells of an event that is asked of groups in an environment.
func (c Channel) Wants(e gov.Event, env gov.Environment, asked []gov.GroupID) bool {
	return slices.Contains(c.Events, e) && c.In(env) &&
		(len(c.Groups) == 0 || slices.ContainsFunc(c.Groups, func(g gov.GroupID) bool { return slices.Contains(asked, g) }))
}

// In says whether the channel tells of what happens in an environment.
func (c Channel) In(env gov.Environment) bool {
	return len(c.Environments) == 0 || slices.Contains(c.Environments, env)
}

// Channel looks up a channel.
func (b *Bundle) Channel(id gov.ChannelID) (Channel, bool) {
	i := slices.IndexFunc(b.Channels, func(c Channel) bool { return c.ID == id })
	if i < 0 {
		return Channel{}, false
	}
	return b.Channels[i], true
}

// channels reads the section notify of writ.yaml.
func (r *reader) channels(v value) {
	members := v.members("notify")
	if len(members) > channelsMax {
		v.wrong("keep to the channels that somebody reads", "notify has more than %d channels", channelsMax)
		return
	}
	for _, m := range members {
		if !gov.ValidName(m.key) {
			r.wrong(m.file, m.line, nameRemedy, "%q cannot name a channel", m.key)
			continue
		}
		r.b.Channels = append(r.b.Channels, r.channel(m))
	}
}

func (r *reader) channel(m member) Channel {
	get := m.fields("channel "+m.key, m.line, "type!", "secret", "url", "from", "to", "events!", "groups", "environments")
	c := Channel{
		ID: gov.ChannelID(m.key), Type: oneOf(get("type"), "type", gov.ChannelTypes()), Events: listOf(get("events"), "events", gov.Events()),
		Groups: listOf(get("groups"), "groups", groupIDs(r.b)), Environments: listOf(get("environments"), "environments", environmentNames(r.b)),
	}
	if c.Secret = get("secret").text("secret"); c.Secret != "" && !secretRE.MatchString(c.Secret) {
		c.Secret = "" // it may be one, which must not be told
		get("secret").wrong("name it like FINANCE_SLACK, and give its value to the server: WRIT_SECRET_FINANCE_SLACK, or a file in --secrets", "the secret is no name of a secret")
	}
	for _, what := range []string{"events", "groups", "environments"} {
		if list := get(what); list.isList() && len(list.node.Content) == 0 {
			list.wrong("name at least one, or remove the key", "%s of the channel %s is an empty list", what, m.key)
		}
	}
	r.receiver(&c, m, get)
	r.addresses(&c, m, get)
	if c.Type.Pages() {
		pages(c, get("events"))
	}
	return c
}

// pages checks what a channel that follows incidents wants: all of it, and nothing else.
func pages(c Channel, events value) {
	for _, e := range c.Events {
		if !e.OfIncident() {
			events.wrong("name incident_opened, incident_escalated and incident_changed only", "a channel of type %s tells of incidents, not of %s", c.Type, e)
		}
	}
	if len(c.Events) > 0 && !slices.Contains(c.Events, gov.EventIncidentChanged) {
		events.wrong("add incident_changed: what it rings for would never be acknowledged or resolved there", "the channel %s does not want incident_changed", c.ID)
	}
}

// receiver reads where a channel sends to, as far as that is no secret.
func (r *reader) receiver(c *Channel, m member, get func(string) value) {
	to := get("url")
	switch {
	case !get("secret").given() && (c.Type != gov.ChannelAlertmanager || !to.given()):
		r.wrong(m.file, m.line, "add secret: …", "channel %s has no secret", m.key)
	case !to.given() || c.Type == "":
	case !c.Type.Pages():
		to.wrong("remove it: the secret says where", "a channel of type %s has no url", c.Type)
	case c.Type == gov.ChannelAlertmanager && get("secret").given():
		to.wrong("remove one of them: a secret is the whole URL, with a password in it if there is one", "the channel %s has a url and a secret", m.key)
	default:
		c.URL = to.receiverURL()
	}
}

// receiverURL is https, or plain to this machine, and holds no secret.
func (v value) receiverURL() string {
	text := v.text("url")
	u, err := url.Parse(text)
	switch {
	case text == "":
	case err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) || len(text) > urlBytesMax:
		v.wrong("write https://…; http:// only to the machine itself", "url is no address that a notice is sent to")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		v.wrong("leave out passwords, queries and fragments: what is secret belongs into the secret", "url has more than a host and a path")
	default:
		return text
	}
	return ""
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// addresses reads whom an email channel writes to; no other channel has addresses.
func (r *reader) addresses(c *Channel, m member, get func(string) value) {
	from, to := get("from"), get("to")
	switch {
	case c.Type == "":
		return
	case c.Type != gov.ChannelEmail:
		for _, v := range []value{from, to} {
			if v.given() {
				v.wrong("remove it", "a channel of type %s has no addresses", c.Type)
			}
		}
		return
	case !from.given() || len(to.items("to")) == 0:
		r.wrong(m.file, m.line, "add from: writ@example.com and to: [one@example.com]", "the channel %s does not say from and to which addresses it writes", m.key)
		return
	case len(to.node.Content) > addressesMax:
		to.wrong("write to a mailing list", "the channel %s has more than %d addresses", m.key, addressesMax)
		return
	}
	c.From = from.address("from")
	for _, item := range to.items("to") {
		if a := item.address("an address of to"); a != "" {
			c.To = append(c.To, a)
		}
	}
}

func (v value) address(what string) string {
	text := v.text(what)
	if text == "" || addressRE.MatchString(text) && len(text) <= addressBytesMax {
		return text
	}
	v.wrong("write it plainly: name@example.com", "%s is %q", what, text)
	return ""
}
