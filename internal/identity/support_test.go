package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

const (
	acme        = sallyport.DomainID("6e9dfd51d1124e8d8498dce894923a0d")
	umbrella    = sallyport.DomainID("821a0000000000000000000000000000")
	acmeProject = sallyport.ProjectID("6204a5bd270343b5885144cf9c8c158d")
	acmeSecond  = sallyport.ProjectID("6204a5bd270343b5885144cf9c8c1592")
	foreign     = sallyport.ProjectID("7000000000000000000000000000000f")

	paulaPassword = "pa55-of-paula"
	rickPassword  = "pa55-of-rick"
	paulaAccess   = "SPEXAMPLE00000000001"
	paulaSecret   = "secret-of-paula-0000000000000001"
)

// cheapHash is an argon2id hash that a test can afford.
func cheapHash(pw string) string {
	salt := "0123456789abcdef"
	sum := argon2.IDKey([]byte(pw), []byte(salt), 1, 64, 1, 32)
	return fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", b64(salt), b64(string(sum)))
}

// accounts is a fresh directory that a test may change.
func accounts() []Account {
	return []Account{
		{
			ID: acme, Name: "acme",
			Projects: []Project{{ID: acmeProject, Name: "eu-west-101"}, {ID: acmeSecond, Name: "eu-west-101_second"}},
			Users: []User{
				{
					Name: "paula", Password: cheapHash(paulaPassword), Roles: []sallyport.Role{sallyport.RoleAdmin},
					Keys: []Key{{Access: paulaAccess, Secret: paulaSecret}},
				},
				{ID: "0000000000000000000000000000rick", Name: "rick", Password: rickPassword, Roles: []sallyport.Role{sallyport.RoleReader}},
				{Name: "robot", Keys: []Key{{Access: "ROBOT", Secret: "robots-secret"}}},
			},
		},
		{
			ID: umbrella, Name: "umbrella",
			Projects: []Project{{ID: foreign, Name: "eu-west-101"}},
			Users:    []User{{Name: "paula", Password: "other-paula", Roles: []sallyport.Role{sallyport.RoleAdmin}}},
		},
	}
}

func directory(tb testing.TB, as []Account) *Directory {
	tb.Helper()
	d, err := NewDirectory(as)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// memory is a Revocations of one replica; fault, if set, is what Revoked returns.
type memory struct {
	mu      sync.Mutex
	revoked map[string]time.Time
	calls   []sallyport.Call
	fault   error
}

func (m *memory) Revoked(_ context.Context, id string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.revoked[id]
	return ok, m.fault
}

func (m *memory) Revoke(_ context.Context, c sallyport.Call, id string, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revoked == nil {
		m.revoked = map[string]time.Time{}
	}
	m.revoked[id] = expires
	m.calls = append(m.calls, c)
	return m.fault
}

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// house is an Authority with all it leans on.
type house struct {
	*Authority

	clock *clock
	rev   *memory
	log   *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var testKey = []byte("0123456789abcdef0123456789abcdef")

func newHouse(tb testing.TB) *house {
	tb.Helper()
	h := &house{
		clock: &clock{t: time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)},
		rev:   &memory{},
		log:   &syncBuffer{},
	}
	h.Authority = New(directory(tb, accounts()), testKey, h.rev, Options{
		Now: h.clock.now, Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Sleep: func(context.Context, time.Duration) error { return nil },
	})
	return h
}

func passwordRequest() LoginRequest {
	return LoginRequest{
		Methods:  []string{LoginPassword},
		User:     UserRef{Name: "paula", Domain: DomainRef{Name: "acme"}},
		Password: paulaPassword,
		Scope:    Scope{Project: &ProjectRef{ID: acmeProject}},
	}
}

func (h *house) login(tb testing.TB, req LoginRequest) Token {
	tb.Helper()
	t, err := h.Login(tb.Context(), req, "192.0.2.1:5")
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func (h *house) withToken(ctx context.Context, text string) (sallyport.Principal, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://h/v1/p/x", nil)
	if err != nil {
		return sallyport.Principal{}, err
	}
	r.Header.Set("X-Auth-Token", text)
	return h.Authenticate(ctx, r, nil)
}

// signed returns a request as the server receives it, signed now.
func (h *house) signed(tb testing.TB, access, secret string, headers ...string) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://h/v1/p/x", nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := aksk.Sign(r, nil, access, secret, h.clock.now()); err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 { // after signing, as several clients do
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func wantAuth(tb testing.TB, err error, want AuthKind) *AuthError {
	tb.Helper()
	e, ok := errors.AsType[*AuthError](err)
	if !ok || e.Kind != want {
		tb.Fatalf("got error %v of kind %v, want kind %v", err, AuthKindOf(err), want)
	}
	return e
}

func wantKind(tb testing.TB, err error, want sallyport.Kind) {
	tb.Helper()
	if err == nil || sallyport.KindOf(err) != want || AuthKindOf(err) != 0 {
		tb.Fatalf("got error %v of kind %v, want %v", err, sallyport.KindOf(err), want)
	}
}

// wantSilent fails if text shows any secret of the test directory.
func wantSilent(tb testing.TB, what, text string, more ...string) {
	tb.Helper()
	secrets := append([]string{paulaPassword, rickPassword, paulaSecret, "robots-secret", "other-paula", cheapHash(paulaPassword)}, more...)
	for _, s := range secrets {
		if strings.Contains(text, s) {
			tb.Errorf("%s shows the secret %q: %s", what, s, text)
		}
	}
}
