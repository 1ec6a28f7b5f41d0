package incident

import (
	"slices"

	"github.com/writ-dev/writ/internal/gov"
)

// notice is what is told through one channel.
type notice struct {
	of      gov.EntryID
	channel gov.ChannelID
}

// undelivered are the channels through which the newest attempt failed. lines are in the order of their entries.
func undelivered(lines []Line) []gov.ChannelID {
	failed := map[notice]bool{}
	for _, l := range lines {
		if l.Notice != nil {
			failed[notice{l.Notice.Entry, l.Notice.Channel}] = l.Notice.Status != gov.DeliveryDelivered
		}
	}
	var out []gov.ChannelID
	for n, so := range failed {
		if so {
			out = append(out, n.channel)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// fewer leaves out the attempts to tell people that failed between the first and the newest one of the same notice: they say nothing
// more, and there may be a hundred. lines are in the order of their entries.
func fewer(lines []Line) []Line {
	newest := map[notice]int64{}
	for _, l := range lines {
		if l.Notice != nil && l.Notice.Status == gov.DeliveryFailed {
			newest[notice{l.Notice.Entry, l.Notice.Channel}] = l.Index
		}
	}
	seen := map[notice]bool{}
	return slices.DeleteFunc(lines, func(l Line) bool {
		if l.Notice == nil || l.Notice.Status != gov.DeliveryFailed {
			return false
		}
		n := notice{l.Notice.Entry, l.Notice.Channel}
		between := seen[n] && newest[n] != l.Index
		seen[n] = true
		return between
	})
}

// Told is what a timeline calls the attempt to tell people that a line is of.
func (l Line) Told() string {
	if l.Notice.Status == gov.DeliveryDelivered {
		return "alert.delivered"
	}
	return "alert.delivery_failed"
}
