package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	// TokenLife is the life of a token; the vendor's is the same 24 hours.
	TokenLife = 24 * time.Hour
	// MaxToken bounds the text of a token, in characters: the vendor documents
	// larger ones as a cause of failed requests. Ours stay below 800, as they
	// hold ids and no names.
	MaxToken = 2048

	// maxCachedTokens bounds the verified tokens in memory, about 500 bytes each, and
	// the verified security tokens: enough for every user of a large installation at once.
	maxCachedTokens = 8192
	credBytes       = 16 // of the cred claim: 128 bits, nobody chooses what is compared
)

// Token is an issued token and all that IAM's token body shows of it.
type Token struct {
	Text       string // the token itself: a secret
	ID         string // names it in revocations and logs
	Methods    []string
	UserID     sallyport.UserID
	UserName   string
	DomainID   sallyport.DomainID // of the user
	DomainName string
	Project    *Project // nil: the token is for the account
	Roles      []sallyport.Role
	IssuedAt   time.Time // whole seconds, UTC
	ExpiresAt  time.Time // whole seconds, UTC

	key string // the access key that proved the user, "" for another proof
}

// String names the token without its text, so that no log can show it.
func (t Token) String() string { return "token " + t.ID }

// GoString is String: %#v must not show the text either.
func (t Token) GoString() string { return t.String() }

// LogValue is String for log/slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Principal returns the caller that the token stands for. Its roles are the
// directory's and must not be changed.
func (t Token) Principal() sallyport.Principal {
	p := sallyport.Principal{
		DomainID:   t.DomainID,
		DomainName: t.DomainName,
		UserID:     t.UserID,
		UserName:   t.UserName,
		Roles:      t.Roles,
		Method:     sallyport.MethodToken,
	}
	if t.Project != nil {
		p.ProjectID, p.ProjectName = t.Project.ID, t.Project.Name
	}
	return p
}

// Permit says whether p may read or revoke t, as IAM rules it: its own tokens
// always, those of other users of its account as administrator. It returns
// KindForbidden where the role is missing, and for a token of another account the
// AuthBadToken that a text of nobody would get.
func (t Token) Permit(p sallyport.Principal) error {
	switch {
	case p.DomainID != t.DomainID:
		return &AuthError{Kind: AuthBadToken, Detail: detailToken}
	case p.UserID != t.UserID && !p.May(true):
		return sallyport.Refuse(sallyport.KindForbidden, sallyport.ReasonForbidden,
			"only an administrator may handle the token of another user")
	default:
		return nil
	}
}

// claims are what a token's text holds: ids only, so that its length is bounded
// and names may change while it lives.
type claims struct {
	jwt.RegisteredClaims // jti, sub (the user), iat, exp

	Domain  sallyport.DomainID  `json:"domain"`
	Project sallyport.ProjectID `json:"project,omitempty"`
	Methods []string            `json:"methods"`
	Key     string              `json:"key,omitempty"` // the configured access key it goes back to
	Cred    string              `json:"cred"`
}

// issue makes a token for u that ends at expires, and with the access key if there is
// one that proved the user.
func (a *Authority) issue(dir *Directory, u *userEntry, key string, project *Project, methods []string, expires time.Time) (Token, error) {
	cred, err := a.credFor(dir, u, key)
	if err != nil {
		return Token{}, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand aborts the process instead
	t := u.token(project)
	t.ID = hex.EncodeToString(id[:])
	t.Methods = methods
	t.key = key
	t.IssuedAt = a.now().UTC().Truncate(time.Second)
	t.ExpiresAt = expires.UTC().Truncate(time.Second)
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID:        t.ID,
			Subject:   string(u.ID),
			IssuedAt:  jwt.NewNumericDate(t.IssuedAt),
			ExpiresAt: jwt.NewNumericDate(t.ExpiresAt),
		},
		Domain:  u.account.ID,
		Methods: methods,
		Key:     key,
		Cred:    cred,
	}
	if project != nil {
		c.Project = project.ID
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(a.tokenKey)
	if err != nil {
		return Token{}, fmt.Errorf("sign token: %w", err)
	}
	t.Text = text
	return t, nil
}

// token returns what the directory says of u, for a token.
func (u *userEntry) token(project *Project) Token {
	return Token{
		UserID: u.ID, UserName: u.Name,
		DomainID: u.account.ID, DomainName: u.account.Name,
		Project: project,
		Roles:   u.Roles,
	}
}

// cred binds a token to the user's password entry and to the secret of the access key
// it goes back to, if any. It is keyed, because tokens pass through many hands and a
// plain hash would let them guess the password.
func (a *Authority) cred(u *userEntry, secret string) string {
	h := hmac.New(sha256.New, a.credKey)
	h.Write([]byte(u.ID))
	h.Write([]byte{0}) // ids have no zero byte
	h.Write(u.sum[:])
	h.Write([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:credBytes])
}

// credFor is cred for an access key of the user, or for none.
func (a *Authority) credFor(dir *Directory, u *userEntry, key string) (string, error) {
	if key == "" {
		return a.cred(u, ""), nil
	}
	entry, ok := dir.keys[key]
	if !ok || entry.user != u {
		return "", &AuthError{Kind: AuthRevoked, Detail: detailTokenRevoked, Err: errors.New("its access key is gone")}
	}
	return a.cred(u, entry.secret), nil
}

// bound returns the user that a token was made for, if user, password and access key
// are still what they were.
func (a *Authority) bound(dir *Directory, subject string, domain sallyport.DomainID, key, cred string) (*userEntry, error) {
	u := dir.users[sallyport.UserID(subject)]
	if u == nil || u.account.ID != domain {
		return nil, &AuthError{Kind: AuthRevoked, Detail: detailTokenRevoked, Err: errors.New("its user is gone")}
	}
	now, err := a.credFor(dir, u, key)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal([]byte(cred), []byte(now)) {
		return nil, &AuthError{Kind: AuthRevoked, Detail: detailTokenRevoked, Err: errors.New("its user's password or access key has changed")}
	}
	return u, nil
}

// Validate returns what a token's text stands for at this moment: names and roles
// are the directory's. An *AuthError says that it is not, or no longer, valid.
func (a *Authority) Validate(ctx context.Context, text string) (Token, error) {
	t, err := a.verify(ctx, a.state.Load(), text)
	if err != nil {
		return Token{}, err
	}
	valid := *t
	valid.Text = text
	return valid, nil
}

// Revoke ends a token for good, if Permit allows it to the principal of c; tokens
// made from it by re-scoping live on, as with Keystone. A token that is not valid
// any more is the same *AuthError that Validate gives.
func (a *Authority) Revoke(ctx context.Context, c sallyport.Call, text string) error {
	t, err := a.verify(ctx, a.state.Load(), text)
	if err != nil {
		return err
	}
	if err := t.Permit(c.Principal); err != nil {
		return err
	}
	if err := a.rev.Revoke(ctx, c, t.ID, t.ExpiresAt); err != nil {
		return fmt.Errorf("revoke token %s: %w", t.ID, err)
	}
	return nil
}

// verify returns the token without its text; the result is shared. The cache spares
// the signature and the JSON only: expiry and revocation are judged on every use.
func (a *Authority) verify(ctx context.Context, s *state, text string) (*Token, error) {
	if len(text) > MaxToken {
		return nil, &AuthError{Kind: AuthBadToken, Detail: detailToken}
	}
	sum := sha256.Sum256([]byte(text))
	t := s.tokens.get(sum)
	if t == nil {
		var err error
		if t, err = a.parse(s.dir, text); err != nil {
			return nil, err
		}
		s.tokens.put(sum, t)
	}
	if !a.now().Before(t.ExpiresAt) {
		return nil, &AuthError{Kind: AuthExpiredToken, Detail: detailTokenExpired}
	}
	if err := a.notRevoked(ctx, t.ID); err != nil {
		return nil, err
	}
	return t, nil
}

func (a *Authority) notRevoked(ctx context.Context, tokenID string) error {
	revoked, err := a.rev.Revoked(ctx, tokenID)
	if err != nil {
		return fmt.Errorf("look up whether token %s is revoked: %w", tokenID, err)
	}
	if revoked {
		return &AuthError{Kind: AuthRevoked, Detail: detailTokenRevoked}
	}
	return nil
}

// parse checks signature, expiry and form of a token, and that its user, password
// and project are still what they were.
func (a *Authority) parse(dir *Directory, text string) (*Token, error) {
	var c claims
	_, err := a.parser.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return a.tokenKey, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired): // judged after the signature
		return nil, &AuthError{Kind: AuthExpiredToken, Detail: detailTokenExpired}
	case err != nil:
		return nil, &AuthError{Kind: AuthBadToken, Detail: detailToken, Err: err}
	}
	u, err := a.bound(dir, c.Subject, c.Domain, c.Key, c.Cred)
	if err != nil {
		return nil, err
	}
	var project *Project
	if c.Project != "" {
		entry, ok := dir.projects[c.Project]
		if !ok || entry.owner != c.Domain {
			return nil, &AuthError{Kind: AuthRevoked, Detail: detailTokenRevoked, Err: errors.New("its project is gone")}
		}
		project = &entry.Project
	}
	t := u.token(project)
	t.ID = c.ID
	t.Methods = c.Methods
	t.key = c.Key
	t.IssuedAt = c.IssuedAt.UTC()
	t.ExpiresAt = c.ExpiresAt.UTC()
	return &t, nil
}
