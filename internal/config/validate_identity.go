package config

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSecret bounds a secret of an access key, in characters; the clouds' own have 40.
const maxSecret = 256

// maxPassword bounds a password or its hash, in bytes: hashing costs time per byte.
const maxPassword = 1024

// validateIdentity judges the directory and returns its projects by id.
func validateIdentity(id *Identity, f *findings) names {
	domainIDs, domainNames, projects, users, keys := names{}, names{}, names{}, names{}, names{}
	for i := range id.Domains {
		d, path := &id.Domains[i], item("identity.domains", i)
		domainIDs.id(f, path+".id", d.ID)
		domainNames.text(f, path+".name", d.Name)
		projectNames, userNames := names{}, names{}
		for j, p := range d.Projects {
			at := item(path+".projects", j)
			projects.id(f, at+".id", p.ID)
			projectNames.text(f, at+".name", p.Name)
		}
		for j := range d.Users {
			u, at := &d.Users[j], item(path+".users", j)
			userNames.text(f, at+".name", u.Name)
			if f.has(at + ".id") { // a derived one is as unique as domain and name
				users.id(f, at+".id", u.ID)
			}
			validateUser(u, at, keys, f)
		}
	}
	return projects
}

func validateUser(u *User, path string, keys names, f *findings) {
	if len(u.Roles) == 0 {
		f.missing(path+".roles", "give at least one of "+RoleAdmin+", "+RoleReader)
	}
	for i, role := range u.Roles {
		at := item(path+".roles", i)
		if role != RoleAdmin && role != RoleReader {
			f.at(at, "%s is not a role; write %s or %s", quote(role), RoleAdmin, RoleReader)
		} else if slices.Index(u.Roles, role) < i {
			f.at(at, "%s is listed twice; keep one of them", role)
		}
	}
	if u.Password == "" && len(u.AccessKeys) == 0 && !f.bad[path+".password"] && !f.bad[path+".access_keys"] {
		f.at(path, "the user cannot log in; give password, access_keys or both")
	}
	if problem := passwordProblem(string(u.Password)); problem != "" {
		f.at(path+".password", "%s", problem)
	}
	for i, k := range u.AccessKeys {
		at := item(path+".access_keys", i)
		validateAccess(k.Access, at+".access", keys, f)
		switch {
		case k.Secret == "" && !f.has(at+".secret"):
			f.missing(at+".secret", "give the secret of the access key")
		case k.Secret == "":
			f.at(at+".secret", "must not be empty")
		case utf8.RuneCountInString(string(k.Secret)) > maxSecret || hasControl(string(k.Secret)):
			f.at(at+".secret", "must be 1–%d characters on one line", maxSecret)
		}
	}
}

// validateAccess checks the identifier of an access key. It is no secret, but is
// not repeated all the same: someone may have swapped it with the secret.
func validateAccess(access, path string, keys names, f *findings) {
	first, taken := keys[access]
	switch {
	case access == "" && !f.has(path):
		f.missing(path, "give 1–64 letters, digits, - and _")
	case !idForm.MatchString(access):
		f.at(path, "must be 1–64 letters, digits, - and _ (the value is not shown; is it swapped with the secret?)")
	case taken:
		f.at(path, "is the access key of line %d too (%s); each must be different", f.line(first), first)
	default:
		keys[access] = path
	}
}

var (
	// hashForm is the beginning of every hash in crypt or PHC form. A plain
	// password may not look like one: a typing error in the name of the method
	// would turn the hash itself into the password.
	hashForm = regexp.MustCompile(`^\$[a-z0-9-]{1,16}\$`)
	// bcryptForm is method, cost 4–31, and 22+31 characters of salt and hash.
	bcryptForm = regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$`)
	argonForm  = regexp.MustCompile(`^\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)
)

// passwordProblem says what is wrong with a password, "" if nothing is. It never
// repeats it.
func passwordProblem(p string) string {
	switch {
	case len(p) > maxPassword:
		return "is longer than " + strconv.Itoa(maxPassword) + " bytes"
	case strings.HasPrefix(p, "$argon2id$"):
		return argonProblem(p)
	case len(p) > 3 && strings.HasPrefix(p, "$2") && strings.ContainsRune("aby", rune(p[2])) && p[3] == '$':
		if !bcryptForm.MatchString(p) {
			return "begins like a bcrypt hash but is not one; it must be $2b$, the cost as two digits (04–31), $ and 53 characters (60 in all)"
		}
	case hashForm.MatchString(p):
		return "looks like a hash of a kind that is not supported; use argon2id ($argon2id$…) or bcrypt ($2b$…)"
	case hasControl(p):
		return "must be on one line and without control characters"
	}
	return ""
}

// argonProblem checks the PHC form of argon2id and the ranges of RFC 9106 §3.1.
// Memory is bounded besides: every login takes it.
func argonProblem(p string) string {
	const (
		form    = "begins like an argon2id hash but is not one; it must be $argon2id$v=19$m=65536,t=2,p=1$salt$hash with base64 without padding"
		maxKiB  = 1 << 20 // 1 GiB for one login would stop the machine
		minSalt = 8       // bytes, RFC 9106 §3.1
		minHash = 16      // bytes; RFC 9106 allows 4, which can be guessed
		maxHash = 64      // bytes; more adds nothing
	)
	m := argonForm.FindStringSubmatch(p)
	if m == nil {
		return form
	}
	memory, _ := strconv.Atoi(m[1]) // the form has made sure of digits
	times, _ := strconv.Atoi(m[2])
	threads, _ := strconv.Atoi(m[3])
	salt, err1 := base64.RawStdEncoding.DecodeString(m[4])
	hash, err2 := base64.RawStdEncoding.DecodeString(m[5])
	switch {
	case err1 != nil || err2 != nil:
		return form
	case threads < 1 || threads > 255 || times < 1 || memory < 8*threads || memory > maxKiB:
		return "the argon2id parameters are out of range; m is 8·p to 1048576 (KiB), t at least 1, p 1 to 255"
	case len(salt) < minSalt || len(salt) > maxHash || len(hash) < minHash || len(hash) > maxHash:
		return "the argon2id salt must have 8 to 64 bytes and the hash 16 to 64; it may have been cut off"
	}
	return ""
}

// isHash reports whether a password is stored as a hash.
func isHash(p Secret) bool { return hashForm.MatchString(string(p)) }

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }
