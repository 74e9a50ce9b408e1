package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// The parameters of HashPassword: the OWASP minimum for argon2id.
const (
	hashMemory  = 19 << 10 // KiB
	hashTime    = 2
	hashThreads = 1
	hashSalt    = 16 // bytes
	hashLength  = 32 // bytes
)

// Limits of password checking.
const (
	// maxPassword bounds a password, in bytes: longer than any passphrase, short
	// enough that hashing it costs no more than hashing a short one.
	maxPassword = 1024
	// maxHashMemory bounds the memory, in KiB, that an imported argon2id hash may
	// ask for; times maxHashing it is what logins can make us allocate: 256 MiB.
	maxHashMemory = 64 << 10
	// maxHashTime and maxHashThreads bound the rest of an imported argon2id hash.
	maxHashTime    = 16
	maxHashThreads = 16
	// maxBcryptCost bounds an imported bcrypt hash: 14 takes about a second.
	maxBcryptCost = 14
	// maxHashing is how many argon2id or bcrypt checks run at once: each takes a
	// core and up to maxHashMemory, and logins must not starve the data plane.
	maxHashing = 4
	// maxHashWaiting is how many logins may wait for one of those; at some 50 ms a
	// check the last of them waits below two seconds.
	maxHashWaiting = 128
)

const argonPrefix = "$argon2id$"

// foreignHash is the beginning of a hash of another kind. Taken as plain text, it
// would make the hash itself the password.
var foreignHash = regexp.MustCompile(`^\$[a-z0-9-]+\$`)

// password checks one user's password. Exactly one of its three forms is set.
type password struct {
	plain  *[sha256.Size]byte // of a development file; the text itself is not kept
	bcrypt []byte
	argon  *argonHash
}

type argonHash struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

// parsePassword reads a password entry of the configuration. Its errors do not
// repeat the entry.
func parsePassword(entry string) (*password, error) {
	switch {
	case strings.HasPrefix(entry, argonPrefix):
		h, err := parseArgon(entry)
		if err != nil {
			return nil, fmt.Errorf("password: argon2id hash: %w", err)
		}
		return &password{argon: h}, nil
	case strings.HasPrefix(entry, "$2a$"), strings.HasPrefix(entry, "$2b$"), strings.HasPrefix(entry, "$2y$"):
		cost, err := bcrypt.Cost([]byte(entry))
		if err != nil {
			return nil, errors.New("password: bcrypt hash cannot be read")
		}
		if cost > maxBcryptCost {
			return nil, fmt.Errorf("password: bcrypt cost %d is above %d", cost, maxBcryptCost)
		}
		return &password{bcrypt: []byte(entry)}, nil
	case foreignHash.MatchString(entry):
		return nil, errors.New("password: looks like a hash, and is neither argon2id nor bcrypt")
	case len(entry) > maxPassword:
		return nil, fmt.Errorf("password is longer than %d bytes", maxPassword)
	default:
		sum := sha256.Sum256([]byte(entry))
		return &password{plain: &sum}, nil
	}
}

// parseArgon reads $argon2id$v=19$m=M,t=T,p=P$salt$hash, the PHC string format.
func parseArgon(entry string) (*argonHash, error) {
	parts := strings.Split(entry, "$")
	if len(parts) != 6 || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, fmt.Errorf("not of the form $argon2id$v=%d$m=…,t=…,p=…$salt$hash", argon2.Version)
	}
	h := &argonHash{}
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads)
	if err != nil || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.time, h.threads) {
		return nil, errors.New("parameters are not m=…,t=…,p=…")
	}
	if h.memory < 8*uint32(h.threads) || h.memory > maxHashMemory || h.time < 1 || h.time > maxHashTime ||
		h.threads < 1 || h.threads > maxHashThreads {
		return nil, fmt.Errorf("parameters are outside m≤%d, t≤%d, p≤%d", maxHashMemory, maxHashTime, maxHashThreads)
	}
	var errSalt, errSum error
	h.salt, errSalt = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.sum, errSum = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errSalt != nil || errSum != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.sum) < 16 || len(h.sum) > 64 {
		return nil, errors.New("salt is not 8-64 and hash not 16-64 bytes in base64 without padding")
	}
	return h, nil
}

// slow reports whether matches costs milliseconds and must take a slot.
func (p *password) slow() bool { return p.plain == nil }

// matches reports whether text is the password; what it compares it compares in
// constant time.
func (p *password) matches(text string) bool {
	switch {
	case p.plain != nil:
		sum := sha256.Sum256([]byte(text))
		return subtle.ConstantTimeCompare(sum[:], p.plain[:]) == 1
	case p.argon != nil:
		sum := argon2.IDKey([]byte(text), p.argon.salt, p.argon.time, p.argon.memory, p.argon.threads, uint32(len(p.argon.sum)))
		return subtle.ConstantTimeCompare(sum, p.argon.sum) == 1
	default:
		return bcrypt.CompareHashAndPassword(p.bcrypt, []byte(text)) == nil
	}
}

// HashPassword returns the argon2id hash of pw with a fresh salt, as a PHC string
// for the configuration file (m=19 MiB, t=2, p=1).
func HashPassword(pw string) string {
	salt := make([]byte, hashSalt)
	_, _ = rand.Read(salt) // never fails: crypto/rand aborts the process instead
	sum := argon2.IDKey([]byte(pw), salt, hashTime, hashMemory, hashThreads, hashLength)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", argonPrefix, argon2.Version,
		hashMemory, hashTime, hashThreads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// gate lets a few slow checks run and a bounded number wait.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int64
}

func newGate() *gate { return &gate{slots: make(chan struct{}, maxHashing)} }

// enter takes a slot and returns what gives it back. It waits until ctx ends, and
// returns ErrBusy at once where maxHashWaiting wait already.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.slots }
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	default:
	}
	if g.waiting.Add(1) > maxHashWaiting {
		g.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer g.waiting.Add(-1)
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
}
