package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// The login methods of IAM's "create token" that are offered.
const (
	// LoginPassword proves a user by LoginRequest.User and Password.
	LoginPassword = "password"
	// LoginToken proves a user by LoginRequest.Token, and changes its scope.
	LoginToken = "token"
	// LoginKey proves a user by an access key and its secret, LoginRequest.Key.
	LoginKey = "hw_ak_sk"
)

// maxMethods bounds the methods of a login: the API knows six.
const maxMethods = 8

// LoginRequest is IAM's "create token", decoded.
type LoginRequest struct {
	Methods  []string // exactly one of the Login constants; space around it is ignored
	User     UserRef
	Password string
	Token    string
	Key      KeyProof
	Scope    Scope
}

// KeyProof is an access key with its secret and, for a temporary one, its security
// token.
type KeyProof struct{ Access, Secret, SecurityToken string }

// UserRef names a user: by ID, or by Name and the account.
type UserRef struct {
	ID     sallyport.UserID
	Name   string
	Domain DomainRef
}

// DomainRef names an account by ID or Name; the zero value names none.
type DomainRef struct {
	ID   sallyport.DomainID
	Name string
}

// ProjectRef names a project: by ID, or by Name and the account, which is the
// user's own if it is left out.
type ProjectRef struct {
	ID     sallyport.ProjectID
	Name   string
	Domain DomainRef
}

// Scope is what a token shall be for. Project wins over Domain, as the vendor
// documents it; neither means the user's account.
type Scope struct {
	Project *ProjectRef
	Domain  *DomainRef
}

// Login proves a user and issues a token; source is the caller's address, for the log.
//
// An *AuthError says that the user is not proven; an unknown user costs and reads
// like a wrong password. A scope that is not the user's is KindForbidden, whether it
// exists or not; an incomplete request is KindInvalid. ErrBusy and the end of ctx say
// nothing about the credentials.
//
// Logins by password that follow failed ones wait a while before they are judged (see
// freeFailures); ErrBusy is the answer where too many wait. Access keys are not slowed
// down: nobody guesses their secrets.
//
// A token made from a token ends when the first one would have, so that nobody can
// prolong a stolen one for ever (Keystone does the same), and its methods tell both steps.
// So does one made with a temporary key. A token made with an access key ends with it.
func (a *Authority) Login(ctx context.Context, req LoginRequest, source string) (Token, error) {
	t, user, err := a.login(ctx, req, source)
	if kind := AuthKindOf(err); kind != 0 {
		a.log.InfoContext(ctx, "login refused", "kind", kind.String(), "user_id", string(user), "source", source)
	}
	return t, err
}

// login also returns the id of the user spoken of, if the directory holds it; what
// else a caller writes into a name may be a password and is not logged.
func (a *Authority) login(ctx context.Context, req LoginRequest, source string) (Token, sallyport.UserID, error) {
	if len(req.Methods) == 0 || len(req.Methods) > maxMethods {
		return Token{}, "", invalid("identity.methods does not name 1-%d methods", maxMethods)
	}
	if len(req.Methods) > 1 {
		return Token{}, "", &AuthError{Kind: AuthUnsupported, Detail: detailMethod}
	}
	s := a.state.Load()
	switch strings.TrimSpace(req.Methods[0]) {
	case LoginPassword:
		return a.loginPassword(ctx, s, req, source)
	case LoginToken:
		return a.loginToken(ctx, s, req)
	case LoginKey:
		return a.loginKey(ctx, s, req)
	default:
		return Token{}, "", &AuthError{Kind: AuthUnsupported, Detail: detailMethod}
	}
}

func (a *Authority) loginPassword(ctx context.Context, s *state, req LoginRequest, source string) (Token, sallyport.UserID, error) {
	if req.User.ID == "" && (req.User.Name == "" || req.User.Domain == DomainRef{}) {
		return Token{}, "", invalid("the user is named neither by id nor by name and domain")
	}
	user := s.dir.findUser(req.User)
	var id sallyport.UserID
	if user != nil {
		id = user.ID
	}
	at := attemptOf(req.User, source)
	waited, err := a.throttle.enter(ctx, at)
	if err != nil {
		return Token{}, id, fmt.Errorf("wait after failed logins: %w", err)
	}
	if waited > 0 {
		a.log.InfoContext(ctx, "login delayed", "delay", waited, "user_id", string(id), "source", source)
	}
	ok, err := a.checkPassword(ctx, s.dir, user, req)
	if err != nil {
		return Token{}, id, err
	}
	if !ok {
		a.throttle.failed(at)
		return Token{}, id, &AuthError{Kind: AuthBadPassword, Detail: detailPassword}
	}
	a.throttle.passed(at)
	project, err := s.dir.scopeFor(user, req.Scope)
	if err != nil {
		return Token{}, id, err
	}
	t, err := a.issue(s.dir, user, "", project, []string{LoginPassword}, a.now().Add(TokenLife))
	return t, id, err
}

func (a *Authority) loginToken(ctx context.Context, s *state, req LoginRequest) (Token, sallyport.UserID, error) {
	if req.Token == "" {
		return Token{}, "", invalid("identity.token.id is missing")
	}
	old, err := a.verify(ctx, s, req.Token)
	if err != nil {
		return Token{}, "", err
	}
	user := s.dir.users[old.UserID] // verify has found it in the same directory
	project, err := s.dir.scopeFor(user, req.Scope)
	if err != nil {
		return Token{}, user.ID, err
	}
	methods := old.Methods
	if !slices.Contains(methods, LoginToken) {
		methods = append(slices.Clone(methods), LoginToken)
	}
	t, err := a.issue(s.dir, user, old.key, project, methods, old.ExpiresAt)
	return t, user.ID, err
}

// loginKey answers an unknown access key and a wrong secret alike.
func (a *Authority) loginKey(ctx context.Context, s *state, req LoginRequest) (Token, sallyport.UserID, error) {
	if req.Key.Access == "" || req.Key.Secret == "" {
		return Token{}, "", invalid("identity.hw_ak_sk does not have access.key and secret.key")
	}
	key, known := s.dir.keys[req.Key.Access]
	bind, expires := req.Key.Access, a.now().Add(TokenLife)
	if req.Key.SecurityToken != "" {
		k, err := a.verifyTemporary(ctx, s, req.Key.SecurityToken)
		if err != nil {
			return Token{}, "", err
		}
		key, known = keyEntry{user: k.user, secret: k.secret}, k.access == req.Key.Access
		bind, expires = k.key, k.expires
	}
	var id sallyport.UserID
	if known {
		id = key.user.ID
	} else {
		key.secret = a.decoySecret
	}
	got, want := sha256.Sum256([]byte(req.Key.Secret)), sha256.Sum256([]byte(key.secret))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !known {
		kind := AuthMismatch
		if !known {
			kind = AuthUnknownKey
		}
		return Token{}, id, &AuthError{Kind: kind, Detail: detailKey}
	}
	project, err := s.dir.scopeFor(key.user, req.Scope)
	if err != nil {
		return Token{}, id, err
	}
	t, err := a.issue(s.dir, key.user, bind, project, []string{LoginKey}, expires)
	return t, id, err
}

// checkPassword reports whether req holds the password of user. Where there is no
// such user, or none who may log in by password, it checks the hash of some other
// user and discards the result, so that the answer takes as long. The name chooses
// the other user, under a key: repeating a name shows the same time again, and the
// times of unknown names are spread as those of known ones, whatever mix of hashes
// the directory has.
func (a *Authority) checkPassword(ctx context.Context, dir *Directory, user *userEntry, req LoginRequest) (bool, error) {
	if len(req.Password) > maxPassword {
		return false, nil // refused for known and unknown users alike
	}
	var p *password
	known := user != nil && user.password != nil
	if known {
		p = user.password
	} else if p = a.standIn(dir, req.User); p == nil {
		return false, nil // nobody has a password, so there is nothing to tell apart
	}
	if p.slow() {
		leave, err := a.hashing.enter(ctx)
		if err != nil {
			return false, err
		}
		defer leave()
	}
	return a.matches(p, req.Password) && known, nil
}

func (a *Authority) standIn(dir *Directory, ref UserRef) *password {
	if len(dir.passwords) == 0 {
		return nil
	}
	h := hmac.New(sha256.New, a.standInKey)
	for _, part := range []string{string(ref.ID), ref.Name, string(ref.Domain.ID), ref.Domain.Name} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	n := binary.BigEndian.Uint64(h.Sum(nil)) % uint64(len(dir.passwords))
	return dir.passwords[n]
}

// findUser returns the user that ref names, or nil.
func (d *Directory) findUser(ref UserRef) *userEntry {
	if ref.ID != "" {
		return d.users[ref.ID]
	}
	account := d.byID[ref.Domain.ID]
	if ref.Domain.ID == "" {
		account = d.byName[ref.Domain.Name]
	}
	if account == nil || !ref.Domain.names(account) {
		return nil
	}
	return d.userByName[accountName{account.ID, ref.Name}]
}

// names reports whether all that r says is true of the account; the zero value
// names every account.
func (r DomainRef) names(a *Account) bool {
	return (r.ID == "" || r.ID == a.ID) && (r.Name == "" || r.Name == a.Name)
}

// scopeFor returns the project of the scope, nil for the account. Projects and
// accounts that are not the user's are refused as those that do not exist.
func (d *Directory) scopeFor(user *userEntry, scope Scope) (*Project, error) {
	account := user.account
	switch {
	case scope.Project != nil:
		ref := *scope.Project
		if ref.ID == "" && ref.Name == "" {
			return nil, invalid("scope.project has neither id nor name")
		}
		entry := d.projects[ref.ID]
		project, ok := entry.Project, entry.owner == account.ID
		if ref.ID == "" {
			project, ok = d.projectByName[accountName{account.ID, ref.Name}]
			ok = ok && ref.Domain.names(account)
		}
		if !ok {
			return nil, foreignScope()
		}
		return &project, nil
	case scope.Domain != nil:
		if (*scope.Domain == DomainRef{}) {
			return nil, invalid("scope.domain has neither id nor name")
		}
		if !scope.Domain.names(account) {
			return nil, foreignScope()
		}
	}
	return nil, nil
}

func foreignScope() error {
	return sallyport.Refuse(sallyport.KindForbidden, sallyport.ReasonProjectForeign, "the scope is not one of the user's")
}

func invalid(format string, args ...any) error {
	return sallyport.Refuse(sallyport.KindInvalid, "", format, args...)
}
