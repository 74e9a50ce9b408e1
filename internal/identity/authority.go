package identity

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// KeySize is the length, in bytes, of the key that New takes.
const KeySize = 32

// Revocations remembers revoked tokens. Revoked is asked on every use of a token,
// so it must answer from memory; after Revoke has returned nil, Revoked says so on
// every replica, until expires. A failure of Revoked fails the request.
type Revocations interface {
	Revoked(ctx context.Context, tokenID string) (bool, error)
	Revoke(ctx context.Context, c sallyport.Call, tokenID string, expires time.Time) error
}

// Options are what an Authority can do without.
type Options struct {
	Now func() time.Time // nil: the real clock
	Log *slog.Logger     // nil: nothing is logged
	// Sleep waits for a duration, or returns what ended the context; nil: by a timer.
	// Logins that follow failed ones wait.
	Sleep func(context.Context, time.Duration) error
}

// Authority proves who sends a request, and issues and revokes tokens. All its
// methods may be called concurrently.
type Authority struct {
	state       atomic.Pointer[state]
	tokenKey    []byte // signs tokens
	credKey     []byte // makes the cred claim
	standInKey  []byte // chooses whose hash an unknown user is checked against
	decoySecret string // of access keys that do not exist

	temporaryKey       []byte // signs security tokens
	temporarySecretKey []byte // makes the secret of a security token

	parser   *jwt.Parser
	hashing  *gate
	throttle *throttle
	rev      Revocations
	now      func() time.Time
	log      *slog.Logger
	matches  func(p *password, text string) bool // (*password).matches; a test counts the calls
}

// state is a directory with the tokens and keys verified against it, so that a new
// directory starts with empty caches and no late writer can bring an old result into it.
type state struct {
	dir         *Directory
	tokens      *textCache[Token]
	temporaries *textCache[temporary]
}

// New makes an Authority. Replicas that are to accept each other's tokens share
// key, KeySize random bytes; New panics if it has another length, which only a
// mistake in the program can cause. rev must not be nil.
func New(dir *Directory, key []byte, rev Revocations, opt Options) *Authority {
	if len(key) != KeySize {
		panic(fmt.Sprintf("identity.New: key has %d bytes, want %d", len(key), KeySize))
	}
	if opt.Now == nil {
		opt.Now = time.Now //nolint:forbidigo // the default clock of a production server
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Sleep == nil {
		opt.Sleep = sleep
	}
	a := &Authority{
		tokenKey:    subkey(key, "sallyport token signature 1"),
		credKey:     subkey(key, "sallyport token credential 1"),
		standInKey:  subkey(key, "sallyport login stand-in 1"),
		decoySecret: rand.Text(),

		temporaryKey:       subkey(key, "sallyport temporary signature 1"),
		temporarySecretKey: subkey(key, "sallyport temporary secret 1"),

		hashing:  newGate(),
		throttle: newThrottle(opt.Now, opt.Sleep),
		rev:      rev,
		now:      opt.Now,
		log:      opt.Log,
		matches:  (*password).matches,
	}
	a.parser = jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(opt.Now))
	a.SetDirectory(dir)
	return a
}

// subkey derives a key for one purpose, so that no two purposes share one.
func subkey(key []byte, purpose string) []byte {
	k, err := hkdf.Expand(sha256.New, key, purpose, sha256.Size)
	if err != nil {
		panic(fmt.Sprintf("identity: derive a key: %v", err)) // only for absurd lengths
	}
	return k
}

// SetDirectory replaces the directory at once for all requests that start after
// it returns: removed users, keys and changed passwords stop working.
func (a *Authority) SetDirectory(dir *Directory) {
	a.state.Store(&state{dir: dir, tokens: newTextCache[Token](), temporaries: newTextCache[temporary]()})
}

// Directory returns the present directory.
func (a *Authority) Directory() *Directory { return a.state.Load().dir }

// Owns reports whether the project exists and belongs to the account at this moment.
func (a *Authority) Owns(domain sallyport.DomainID, p sallyport.ProjectID) bool {
	return a.Directory().Owns(domain, p)
}

// Authenticate proves who sends r, whose whole body is body: by X-Auth-Token, or
// else by Authorization, an access key's signature in either layout of package aksk.
//
// The principal's project is the token's, or the one that X-Project-Id names; it is
// "" otherwise, and with a key the project in the path is then the only one: the
// caller of Authenticate asks Directory.Owns. With a key, an X-Project-Id or X-Domain-Id
// that is not of the key's account is refused with KindForbidden; both may be unsigned,
// as several clients add them after signing, and both may be absent. Where
// X-Security-Token is given, signed or not, the key is the temporary one that it
// stands for, and a configured key of that name does not count.
//
// Failed authentication is an *AuthError. Anything else is not the caller's fault.
func (a *Authority) Authenticate(ctx context.Context, r *http.Request, body []byte) (sallyport.Principal, error) {
	tokens, signatures := r.Header["X-Auth-Token"], r.Header["Authorization"]
	switch {
	case len(tokens) > 1 || len(signatures) > 1:
		return sallyport.Principal{}, &AuthError{Kind: AuthMalformed, Detail: "a credential header is given twice"}
	case len(tokens) == 1 && tokens[0] != "":
		t, err := a.verify(ctx, a.state.Load(), tokens[0])
		if err != nil {
			return sallyport.Principal{}, err
		}
		return t.Principal(), nil
	case len(signatures) == 1 && signatures[0] != "":
		return a.authenticateKey(ctx, r, body, signatures[0])
	default:
		return sallyport.Principal{}, &AuthError{Kind: AuthMissing, Detail: detailMissing}
	}
}

// authenticateKey verifies a signed request. An unknown access key is checked
// against a secret that nobody has: it takes the same way and the same time as a
// known one, and differs in AuthError.Kind alone.
func (a *Authority) authenticateKey(ctx context.Context, r *http.Request, body []byte, header string) (sallyport.Principal, error) {
	auth, err := aksk.Parse(header)
	if err != nil {
		return sallyport.Principal{}, signatureError(err, false)
	}
	s := a.state.Load()
	dir := s.dir
	key, known := dir.keys[auth.Access]
	if tokens := r.Header["X-Security-Token"]; len(tokens) > 1 {
		return sallyport.Principal{}, &AuthError{Kind: AuthMalformed, Detail: "a credential header is given twice"}
	} else if len(tokens) == 1 && tokens[0] != "" {
		k, err := a.verifyTemporary(ctx, s, tokens[0])
		if err != nil {
			return sallyport.Principal{}, err
		}
		key, known = keyEntry{user: k.user, secret: k.secret}, k.access == auth.Access
	}
	if !known {
		key.secret = a.decoySecret
	}
	err = aksk.Verify(r, body, auth, key.secret, a.now())
	if err == nil && !known {
		err = aksk.ErrMismatch
	}
	if err != nil {
		return sallyport.Principal{}, signatureError(err, known)
	}
	p := key.user.principal(sallyport.MethodKey)
	p.AccessKey = auth.Access
	if domain := r.Header.Get("X-Domain-Id"); domain != "" && sallyport.DomainID(domain) != p.DomainID {
		return sallyport.Principal{}, sallyport.Refuse(sallyport.KindForbidden, sallyport.ReasonForbidden,
			"the account in X-Domain-Id is not the caller's")
	}
	if project := sallyport.ProjectID(r.Header.Get("X-Project-Id")); project != "" {
		if !dir.Owns(p.DomainID, project) {
			return sallyport.Principal{}, sallyport.Refuse(sallyport.KindForbidden, sallyport.ReasonProjectForeign,
				"the project in X-Project-Id is not the caller's")
		}
		p.ProjectID, p.ProjectName = project, dir.projects[project].Name
	}
	return p, nil
}

func (u *userEntry) principal(m sallyport.Method) sallyport.Principal {
	return sallyport.Principal{
		DomainID:   u.account.ID,
		DomainName: u.account.Name,
		UserID:     u.ID,
		UserName:   u.Name,
		Roles:      u.Roles,
		Method:     m,
	}
}
