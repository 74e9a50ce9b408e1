package identity

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/bcrypt"
)

// If this fails, a right password is refused or a wrong one accepted, in one of the
// forms that a configuration may hold.
func TestPasswordForms(t *testing.T) {
	bc, err := bcrypt.GenerateFromPassword([]byte("horse"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	own := HashPassword("horse")
	if !strings.HasPrefix(own, "$argon2id$v=19$m=19456,t=2,p=1$") || HashPassword("horse") == own {
		t.Errorf("got %q, want the documented parameters and a fresh salt", own)
	}
	for _, entry := range []string{
		"horse", own, cheapHash("horse"), string(bc),
		strings.Replace(string(bc), "$2a$", "$2y$", 1), // as htpasswd writes it
	} {
		p, err := parsePassword(entry)
		if err != nil {
			t.Fatalf("%q: %v", entry, err)
		}
		if !p.matches("horse") {
			t.Errorf("%q refuses the password", entry)
		}
		for _, wrong := range []string{"", "Horse", "horse ", entry + "x"} {
			if p.matches(wrong) {
				t.Errorf("%q accepts %q", entry, wrong)
			}
		}
		if p.slow() == (entry == "horse") {
			t.Errorf("%q: slow is %v", entry, p.slow())
		}
	}
}

// If this fails, a hash from outside makes one login take all memory, or a hash that
// nobody understands becomes a password itself.
func TestPasswordEntriesRefused(t *testing.T) {
	good := cheapHash("x")
	for _, entry := range []string{
		"$argon2id$secret", "$argon2id$v=19$m=64,t=1,p=1$" + b64("0123456789abcdef"),
		strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=65537", 1),
		strings.Replace(good, "m=64", "m=7", 1),
		strings.Replace(good, "m=64", "m=+64", 1),
		strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "t=1", "t=17", 1),
		strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, "p=1", "p=300", 1),
		strings.Replace(good, "p=1", "p=1,q=1", 1),
		good + "=", good[:len(good)-40],
		"$2a$15$" + strings.Repeat("a", 53), "$2b$short",
		"$6$salt$hash", "$argon2i$v=19$m=64,t=1,p=1$a$b",
		strings.Repeat("a", maxPassword+1),
	} {
		if _, err := parsePassword(entry); err == nil {
			t.Errorf("%q is accepted", entry)
		} else if strings.Contains(err.Error(), entry) {
			t.Errorf("the error repeats the entry: %v", err)
		}
	}
}

// If this fails, an entry of the configuration can crash the server.
func FuzzParsePassword(f *testing.F) {
	for _, s := range []string{cheapHash("x"), "$2a$04$", "$argon2id$v=19$m=8,t=1,p=1$$", "plain", "$6$x$y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		p, err := parsePassword(entry)
		if err == nil && p.argon != nil && (p.argon.memory > maxHashMemory || p.argon.time > maxHashTime) {
			t.Errorf("%q asks for more than the limits", entry)
		}
	})
}

// If this fails, logins run more hashes at once than the machine can carry, wait
// without end, or queue without bound.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var leaves []func()
		for range maxHashing {
			leave, err := g.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, maxHashWaiting)
		for range maxHashWaiting {
			go func() {
				leave, err := g.enter(ctx)
				if err == nil {
					leave()
				}
				results <- err
			}()
		}
		synctest.Wait()
		if len(results) != 0 {
			t.Fatal("more checks than slots")
		}
		if _, err := g.enter(ctx); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, want %v", err, ErrBusy)
		}
		leaves[0]()
		synctest.Wait() // one slot serves all who wait, one after the other
		for range maxHashWaiting {
			if err := <-results; err != nil {
				t.Errorf("got %v, want a slot", err)
			}
		}
		if _, err := g.enter(ctx); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := g.enter(ctx)
			results <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if n := g.waiting.Load(); n != 0 {
			t.Errorf("%d still counted as waiting", n)
		}
	})
}
