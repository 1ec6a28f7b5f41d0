package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/merkle"
	"github.com/writ-dev/writ/internal/passkey"
)

// Enrolment is a passkey that a person enrolled, as the organization's ledger says.
type Enrolment struct {
	Person    string
	Passkey   string
	PublicKey string
}

// Enrolments reads every passkey that was ever enrolled in the organization's ledger.
func Enrolments(ctx context.Context, org *Ledger) (map[Enrolment]bool, error) {
	head, err := org.Head(ctx)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	out := map[Enrolment]bool{}
	err = org.Scan(ctx, 0, head.Size, false, func(r Raw) error {
		if kind, err := kindOf(r.Bytes); err != nil || canon.Kind(kind) != canon.KindPasskeyEnrolled {
			return err
		}
		e, err := canon.Parse(r.Bytes)
		if err != nil {
			return err
		}
		body, err := canon.Body[canon.PasskeyEnrolled](e)
		out[Enrolment{body.Person, body.Passkey, body.PublicKey}] = true
		return err
	})
	return out, err
}

// asks says whether a decision may open a request for approval, without decoding it.
func asks(raw []byte) bool { return bytes.Contains(raw, []byte(`"approval":{`)) }

// votes checks that every vote is on what was shown, and the signatures of those that are signed by a passkey.
func (v *verifier) votes(e canon.Entry, r Raw) {
	switch e.Kind {
	case canon.KindDecision:
		if asks(r.Bytes) {
			v.shown[e.ID] = merkle.LeafHash(r.Bytes)
		}
	case canon.KindDelegationRequested:
		v.shown[e.ID] = merkle.LeafHash(r.Bytes)
	case canon.KindDelegationVote:
		body, err := canon.Body[canon.DelegationVote](e)
		v.onWhatWasShown(r.Index, body.Delegation, body.Shown, err)
	case canon.KindDelegationGranted:
		body, err := canon.Body[canon.DelegationGranted](e)
		v.onWhatWasShown(r.Index, body.Delegation, body.Shown, err)
	case canon.KindApprovalVote:
		body, err := canon.Body[canon.ApprovalVote](e)
		if v.onWhatWasShown(r.Index, body.Decision, body.Shown, err) && body.Signed != nil {
			leaf := v.shown[body.Decision]
			v.signature(r.Index, body, leaf[:])
		}
	default:
	}
}

// onWhatWasShown checks that a vote is on what an entry shows.
func (v *verifier) onWhatWasShown(index int64, asked gov.EntryID, shown string, err error) bool {
	if err != nil {
		v.find(index, err.Error())
		return false
	}
	leaf, known := v.shown[asked]
	if !known || hex.EncodeToString(leaf[:]) != shown {
		v.find(index, fmt.Sprintf("the vote is on something else than %s shows", asked))
		return false
	}
	return true
}

// signature checks that the device of the person who voted signed what was shown.
func (v *verifier) signature(index int64, body canon.ApprovalVote, digest []byte) {
	if body.Vote != gov.VoteApprove {
		v.find(index, "a denial is signed as an approval")
		return
	}
	if err := passkey.Verify(*body.Signed, digest); err != nil {
		v.find(index, "the signature of the approval does not hold: "+err.Error())
		return
	}
	v.report.Signed++
	if v.claims.Enrolled == nil {
		return
	}
	if !v.claims.Enrolled[Enrolment{body.Person, body.Signed.Passkey, body.Signed.PublicKey}] {
		v.find(index, "the approval is signed by a passkey that its person never enrolled")
		return
	}
	v.report.Enrolled++
}
