package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-net/sallyport/internal/identity/aksk"
	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// Limits of a directory.
const (
	// MaxEntries bounds the accounts, the projects, the users and the keys of a
	// directory, each on its own: it is held in memory whole and comes from one file.
	MaxEntries = 100_000
	// MaxID bounds an account, project or user id, in bytes. Three of them stand in
	// a token, which may have MaxToken characters.
	MaxID = 64
	// MaxName bounds the name of an account, project or user, in bytes; it is Keystone's limit.
	MaxName = 255
	// MaxSecret bounds the secret of an access key, in bytes; the vendor's have 40.
	MaxSecret = 256
)

// Account is a domain of IAM: what owns projects and users.
type Account struct {
	ID       sallyport.DomainID
	Name     string
	Projects []Project
	Users    []User
}

// Project is a project of an account; its name begins with the region for most clients.
type Project struct {
	ID   sallyport.ProjectID
	Name string
}

// User is a person or program of an account. An empty ID is derived from the
// account's id and the name, so that it survives restarts. Password is plain text,
// an argon2id hash in PHC form or a bcrypt hash; empty means no login by password.
type User struct {
	ID       sallyport.UserID
	Name     string
	Password string
	Roles    []sallyport.Role
	Keys     []Key
}

// Key is an access key of a user.
type Key struct{ Access, Secret string }

// String names the user without the password, so that no log can show it.
func (u User) String() string { return "user " + string(u.ID) + " " + u.Name }

// GoString is String: %#v must not show the password either.
func (u User) GoString() string { return u.String() }

// LogValue is String for log/slog.
func (u User) LogValue() slog.Value { return slog.StringValue(u.String()) }

// String names the key without its secret, so that no log can show it.
func (k Key) String() string { return "key " + k.Access }

// GoString is String: %#v must not show the secret either.
func (k Key) GoString() string { return k.String() }

// LogValue is String for log/slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Directory is what the configuration says of accounts, projects, users and keys.
// It never changes; a reload makes another. What its methods return is shared and
// must not be changed; passwords and secrets are left out of it.
type Directory struct {
	accounts      []Account
	byID          map[sallyport.DomainID]*Account
	byName        map[string]*Account
	projects      map[sallyport.ProjectID]projectEntry
	projectByName map[accountName]Project
	users         map[sallyport.UserID]*userEntry
	userByName    map[accountName]*userEntry
	keys          map[string]keyEntry
	passwords     []*password // of every user who has one; see Authority.checkPassword
}

type accountName struct {
	account sallyport.DomainID
	name    string
}

type projectEntry struct {
	Project

	owner sallyport.DomainID
}

type userEntry struct {
	User // without password and secrets

	account  *Account
	password *password         // nil: no login by password
	sum      [sha256.Size]byte // of the password entry; tokens hold a keyed form of it
}

type keyEntry struct {
	user   *userEntry
	secret string
}

// NewDirectory checks accounts and makes a directory of them. Ids are 1–64 letters,
// digits, '-' or '_', and unique in their kind, as are account names and access keys;
// project and user names are unique in their account. All that is wrong is in the
// error, one line each; it never holds a password or a secret.
func NewDirectory(accounts []Account) (*Directory, error) {
	d := &Directory{
		byID:          map[sallyport.DomainID]*Account{},
		byName:        map[string]*Account{},
		projects:      map[sallyport.ProjectID]projectEntry{},
		projectByName: map[accountName]Project{},
		users:         map[sallyport.UserID]*userEntry{},
		userByName:    map[accountName]*userEntry{},
		keys:          map[string]keyEntry{},
	}
	if len(accounts) > MaxEntries {
		return nil, fmt.Errorf("directory: more than %d accounts", MaxEntries)
	}
	d.accounts = make([]Account, len(accounts))
	var errs []error
	for i, a := range accounts {
		if err := d.addAccount(i, a); err != nil {
			errs = append(errs, fmt.Errorf("account %q: %w", a.Name, err))
		}
	}
	if len(d.projects) > MaxEntries || len(d.users) > MaxEntries || len(d.keys) > MaxEntries {
		errs = append(errs, fmt.Errorf("directory: more than %d projects, users or keys", MaxEntries))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Directory) addAccount(i int, a Account) error {
	own := &d.accounts[i]
	own.ID, own.Name = a.ID, a.Name
	errs := []error{checkID(string(a.ID)), checkName(a.Name)}
	if d.byID[a.ID] != nil {
		errs = append(errs, fmt.Errorf("another account has the id %q", a.ID))
	}
	if d.byName[a.Name] != nil {
		errs = append(errs, errors.New("another account has the name"))
	}
	d.byID[a.ID], d.byName[a.Name] = own, own
	for _, p := range a.Projects {
		if err := d.addProject(own, p); err != nil {
			errs = append(errs, fmt.Errorf("project %q: %w", p.Name, err))
		}
	}
	for _, u := range a.Users {
		if err := d.addUser(own, u); err != nil {
			errs = append(errs, fmt.Errorf("user %q: %w", u.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (d *Directory) addProject(a *Account, p Project) error {
	errs := []error{checkID(string(p.ID)), checkName(p.Name)}
	if _, taken := d.projects[p.ID]; taken {
		errs = append(errs, fmt.Errorf("another project has the id %q", p.ID))
	}
	name := accountName{a.ID, p.Name}
	if _, taken := d.projectByName[name]; taken {
		errs = append(errs, errors.New("another project of the account has the name"))
	}
	a.Projects = append(a.Projects, p)
	d.projects[p.ID] = projectEntry{Project: p, owner: a.ID}
	d.projectByName[name] = p
	return errors.Join(errs...)
}

func (d *Directory) addUser(a *Account, u User) error {
	if u.ID == "" {
		u.ID = deriveUserID(a.ID, u.Name)
	}
	errs := []error{checkID(string(u.ID)), checkName(u.Name)}
	if _, taken := d.users[u.ID]; taken {
		errs = append(errs, fmt.Errorf("another user has the id %q", u.ID))
	}
	name := accountName{a.ID, u.Name}
	if _, taken := d.userByName[name]; taken {
		errs = append(errs, errors.New("another user of the account has the name"))
	}
	for _, role := range u.Roles {
		if role != sallyport.RoleAdmin && role != sallyport.RoleReader {
			errs = append(errs, fmt.Errorf("unknown role %q: %s and %s exist", role, sallyport.RoleAdmin, sallyport.RoleReader))
		}
	}
	entry := &userEntry{User: u, account: a, sum: sha256.Sum256([]byte(u.Password))}
	if u.Password != "" {
		p, err := parsePassword(u.Password)
		if err != nil {
			errs = append(errs, err)
		} else {
			entry.password = p
			d.passwords = append(d.passwords, p)
		}
	}
	entry.Password = ""
	entry.Roles = slices.Clone(u.Roles)
	entry.Keys = make([]Key, len(u.Keys))
	for i, k := range u.Keys {
		entry.Keys[i].Access = k.Access
		if err := d.addKey(entry, k); err != nil {
			errs = append(errs, fmt.Errorf("access key %d: %w", i+1, err))
		}
	}
	a.Users = append(a.Users, entry.User)
	d.users[u.ID], d.userByName[name] = entry, entry
	return errors.Join(errs...)
}

// addKey does not repeat the access key in its errors: it may be a secret that was
// written on the wrong line.
func (d *Directory) addKey(u *userEntry, k Key) error {
	var errs []error
	if !aksk.ValidAccess(k.Access) {
		errs = append(errs, fmt.Errorf("access is not 1-%d letters, digits, '-', '_' or '.'", aksk.MaxAccess))
	}
	if k.Secret == "" || len(k.Secret) > MaxSecret {
		errs = append(errs, fmt.Errorf("secret is not 1-%d bytes", MaxSecret))
	}
	if _, taken := d.keys[k.Access]; taken {
		errs = append(errs, errors.New("access is used twice"))
	}
	d.keys[k.Access] = keyEntry{user: u, secret: k.Secret}
	return errors.Join(errs...)
}

// deriveUserID returns 32 hexadecimal digits, the form of the vendor's ids. The
// zero byte cannot occur in an account id, so no two pairs share an encoding.
func deriveUserID(a sallyport.DomainID, name string) sallyport.UserID {
	sum := sha256.Sum256([]byte(string(a) + "\x00" + name))
	return sallyport.UserID(hex.EncodeToString(sum[:16]))
}

func checkID(id string) error {
	if id == "" || len(id) > MaxID {
		return fmt.Errorf("id %q is not 1-%d characters", id, MaxID)
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Errorf("id %q has characters other than letters, digits, '-' and '_'", id)
		}
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
		return fmt.Errorf("name is not 1-%d bytes of UTF-8", MaxName)
	}
	for _, c := range name {
		if unicode.IsControl(c) {
			return errors.New("name has control characters")
		}
	}
	return nil
}

// Accounts returns all accounts in the order of the configuration.
func (d *Directory) Accounts() []Account { return slices.Clip(d.accounts) }

// Account returns the account with the id.
func (d *Directory) Account(id sallyport.DomainID) (Account, bool) {
	if a := d.byID[id]; a != nil {
		return *a, true
	}
	return Account{}, false
}

// AccountByName returns the account with exactly the name.
func (d *Directory) AccountByName(name string) (Account, bool) {
	if a := d.byName[name]; a != nil {
		return *a, true
	}
	return Account{}, false
}

// Project returns the project with the id and the account that owns it.
func (d *Directory) Project(id sallyport.ProjectID) (Project, sallyport.DomainID, bool) {
	p, ok := d.projects[id]
	return p.Project, p.owner, ok
}

// ProjectByName returns the project of the account with exactly the name.
func (d *Directory) ProjectByName(domain sallyport.DomainID, name string) (Project, bool) {
	p, ok := d.projectByName[accountName{domain, name}]
	return p, ok
}

// User returns the user with the id and the account it belongs to.
func (d *Directory) User(id sallyport.UserID) (User, sallyport.DomainID, bool) {
	if u := d.users[id]; u != nil {
		return u.User, u.account.ID, true
	}
	return User{}, "", false
}

// UserByName returns the user of the account with exactly the name.
func (d *Directory) UserByName(domain sallyport.DomainID, name string) (User, bool) {
	if u := d.userByName[accountName{domain, name}]; u != nil {
		return u.User, true
	}
	return User{}, false
}

// Owns reports whether the project exists and belongs to the account.
func (d *Directory) Owns(domain sallyport.DomainID, p sallyport.ProjectID) bool {
	entry, ok := d.projects[p]
	return ok && entry.owner == domain
}

// PlainPasswords returns how many users have their password in plain text, which
// suits a development file alone; whoever loads the directory warns about it.
func (d *Directory) PlainPasswords() int {
	n := 0
	for _, p := range d.passwords {
		if !p.slow() {
			n++
		}
	}
	return n
}
