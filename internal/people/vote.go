package people

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/writ-dev/writ/internal/canon"
	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/passkey"
)

// BeginVote gives what a browser asks the person's passkeys to sign: the digest of what the person was shown.
func (s *Service) BeginVote(ctx context.Context, caller identity.Caller, digest []byte) (any, error) {
	p, err := s.Find(ctx, identity.PrincipalRef(s.Key, caller.Principal))
	if err != nil {
		return nil, err
	}
	if len(p.Passkeys) == 0 {
		return nil, &gov.Error{Code: gov.CodeStepUpRequired, Detail: "this approval is signed by a passkey, and you have none: enrol one (the console, under your name)"}
	}
	options, _, err := s.web.BeginLogin(p, webauthn.WithChallenge(digest), webauthn.WithUserVerification(protocol.VerificationRequired))
	return options, err
}

// assertion is a signature as browsers give it (PublicKeyCredential.toJSON).
type assertion struct {
	RawID    string `json:"rawId"`
	Response struct {
		AuthenticatorData string `json:"authenticatorData"`
		ClientData        string `json:"clientDataJSON"`
		Signature         string `json:"signature"`
	} `json:"response"`
}

// CheckVote checks that one of the person's passkeys signed a digest here, and gives the signature as an entry keeps it.
func (s *Service) CheckVote(ctx context.Context, caller identity.Caller, digest, answer []byte) (canon.PasskeySignature, error) {
	var a assertion
	if err := json.Unmarshal(answer, &a); err != nil {
		return canon.PasskeySignature{}, &gov.Error{Code: gov.CodeInvalidField, Path: "/assertion", Detail: "is not what PublicKeyCredential.toJSON gives"}
	}
	p, err := s.Find(ctx, identity.PrincipalRef(s.Key, caller.Principal))
	if err != nil {
		return canon.PasskeySignature{}, err
	}
	id, err := base64.RawURLEncoding.DecodeString(a.RawID)
	for _, key := range p.Passkeys {
		if err != nil || !bytes.Equal(key.ID, id) {
			continue
		}
		signed := canon.PasskeySignature{
			Passkey: a.RawID, PublicKey: base64.RawURLEncoding.EncodeToString(key.PublicKey), RelyingParty: s.web.Config.RPID,
			ClientData: a.Response.ClientData, AuthenticatorData: a.Response.AuthenticatorData, Signature: a.Response.Signature,
		}
		if wrong := passkey.Verify(signed, digest); wrong != nil {
			return signed, &gov.Error{Code: gov.CodeStepUpRequired, Path: "/assertion", Detail: "does not sign this request: " + wrong.Error()}
		}
		return signed, nil
	}
	return canon.PasskeySignature{}, &gov.Error{Code: gov.CodeStepUpRequired, Path: "/assertion", Detail: "is not of a passkey that you enrolled here"}
}
