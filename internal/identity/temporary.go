package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The life of a temporary key (IAM API reference, duration_seconds).
const (
	// DefaultTemporaryLife is for requests that name none.
	DefaultTemporaryLife = 15 * time.Minute
	// MinTemporaryLife is the shortest that may be asked for.
	MinTemporaryLife = 15 * time.Minute
	// MaxTemporaryLife is the longest that may be asked for.
	MaxTemporaryLife = 24 * time.Hour
)

const (
	temporaryAccessLength = 20 // as the vendor's; 100 random bits
	temporarySecretBytes  = 30 // 40 characters, as the vendor's
)

// TemporaryKey is an access key that ends of itself. A request signed with it carries
// SecurityToken in X-Security-Token.
type TemporaryKey struct {
	Access        string
	Secret        string
	SecurityToken string    // a secret too: at most MaxToken characters
	ExpiresAt     time.Time // whole seconds, UTC
}

// String names the key without its secrets, so that no log can show them.
func (k TemporaryKey) String() string { return "temporary key " + k.Access }

// GoString is String: %#v must not show the secrets either.
func (k TemporaryKey) GoString() string { return k.String() }

// LogValue is String for log/slog.
func (k TemporaryKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// temporaryClaims are what a security token holds, signed and readable. The secret is
// not among them: it is an HMAC of the whole text.
type temporaryClaims struct {
	jwt.RegisteredClaims // jti (the access key), sub (the user), iat, exp

	Domain sallyport.DomainID `json:"domain"`
	Key    string             `json:"key,omitempty"` // as in claims
	Cred   string             `json:"cred"`
	Token  string             `json:"token"` // the id of the token it was made from
}

// temporary is a verified security token.
type temporary struct {
	access, secret string
	user           *userEntry
	key            string // as in claims
	token          string // whose revocation ends it
	expires        time.Time
}

// CreateTemporaryKey makes an access key for the user of a token. Nothing of it is
// stored: every replica derives it again from the security token (docs/adr/0013-temporary-keys.md).
// life is MinTemporaryLife to MaxTemporaryLife, or 0 for DefaultTemporaryLife; else the
// error is KindInvalid. source is the caller's address, for the log.
//
// The key ends with the token at the latest, and with everything that ends the token
// before its time: its revocation, a change of password or key, the end of its user. A
// token that is not valid is the *AuthError that Validate gives.
func (a *Authority) CreateTemporaryKey(ctx context.Context, token string, life time.Duration, source string) (TemporaryKey, error) {
	if life == 0 {
		life = DefaultTemporaryLife
	}
	if life < MinTemporaryLife || life > MaxTemporaryLife {
		return TemporaryKey{}, invalid("duration_seconds is not %d-%d",
			int(MinTemporaryLife/time.Second), int(MaxTemporaryLife/time.Second))
	}
	s := a.state.Load()
	t, err := a.verify(ctx, s, token)
	if err != nil {
		return TemporaryKey{}, err
	}
	now := a.now().UTC().Truncate(time.Second)
	k := TemporaryKey{Access: rand.Text()[:temporaryAccessLength], ExpiresAt: now.Add(life)}
	if t.ExpiresAt.Before(k.ExpiresAt) {
		k.ExpiresAt = t.ExpiresAt
	}
	user := s.dir.users[t.UserID] // verify has found it in the same directory
	cred, err := a.credFor(s.dir, user, t.key)
	if err != nil {
		return TemporaryKey{}, err
	}
	k.SecurityToken, err = jwt.NewWithClaims(jwt.SigningMethodHS256, temporaryClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID:        k.Access,
			Subject:   string(user.ID),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(k.ExpiresAt),
		},
		Domain: user.account.ID,
		Key:    t.key,
		Cred:   cred,
		Token:  t.ID,
	}).SignedString(a.temporaryKey)
	if err != nil {
		return TemporaryKey{}, fmt.Errorf("sign security token: %w", err)
	}
	k.Secret = a.temporarySecret(k.SecurityToken)
	a.log.InfoContext(ctx, "temporary key made", "access", k.Access, "user_id", string(user.ID), "token_id", t.ID, "source", source)
	return k, nil
}

// temporarySecret derives the secret from the whole security token, so that it is bound
// to every claim. Its key differs from the one that signs security tokens: otherwise the
// signature, which everyone reads, would be the secret.
func (a *Authority) temporarySecret(token string) string {
	h := hmac.New(sha256.New, a.temporarySecretKey)
	h.Write([]byte(token))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:temporarySecretBytes])
}

// verifyTemporary returns what a security token stands for at this moment; the result is
// shared. As with verify, expiry and revocation are judged on every use.
func (a *Authority) verifyTemporary(ctx context.Context, s *state, text string) (*temporary, error) {
	if len(text) > MaxToken {
		return nil, &AuthError{Kind: AuthBadSecurityToken, Detail: detailToken}
	}
	sum := sha256.Sum256([]byte(text))
	k := s.temporaries.get(sum)
	if k == nil {
		var err error
		if k, err = a.parseTemporary(s.dir, text); err != nil {
			return nil, err
		}
		s.temporaries.put(sum, k)
	}
	if !a.now().Before(k.expires) {
		return nil, &AuthError{Kind: AuthExpiredSecurityToken, Detail: detailTemporaryExpired}
	}
	if err := a.notRevoked(ctx, k.token); err != nil {
		return nil, err
	}
	return k, nil
}

// parseTemporary checks signature, expiry and form of a security token, and that its
// user, password and key are still what they were.
func (a *Authority) parseTemporary(dir *Directory, text string) (*temporary, error) {
	var c temporaryClaims
	_, err := a.parser.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return a.temporaryKey, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired): // judged after the signature
		return nil, &AuthError{Kind: AuthExpiredSecurityToken, Detail: detailTemporaryExpired}
	case err != nil:
		return nil, &AuthError{Kind: AuthBadSecurityToken, Detail: detailToken, Err: err}
	}
	u, err := a.bound(dir, c.Subject, c.Domain, c.Key, c.Cred)
	if err != nil {
		return nil, err
	}
	return &temporary{
		access: c.ID, secret: a.temporarySecret(text), user: u, key: c.Key, token: c.Token, expires: c.ExpiresAt.UTC(),
	}, nil
}
