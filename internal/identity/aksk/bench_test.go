package aksk

import (
	"strings"
	"testing"
)

// BenchmarkVerify is one authenticated request with a body of 100 bytes: it stands
// in front of every call, so it must stay far below the cost of the call itself.
func BenchmarkVerify(b *testing.B) {
	for _, layout := range []string{"Access", "Credential"} {
		b.Run(layout, func(b *testing.B) {
			v := vectors(b)[4] // a POST of the vendor's SDK
			body := []byte(strings.Repeat("x", 100))
			r := v.received(b)
			r.Header.Del("Authorization")
			at := v.at(b)
			signer := Sign
			if layout == "Credential" {
				signer = SignCredential
			}
			if err := signer(r, body, v.Access, v.Secret, at); err != nil {
				b.Fatal(err)
			}
			header := r.Header.Get("Authorization")
			b.ReportAllocs()
			for b.Loop() {
				a, err := Parse(header)
				if err != nil {
					b.Fatal(err)
				}
				if err := Verify(r, body, a, v.Secret, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerifyOthers is what the algorithms cost that hardly anybody chooses;
// whoever sends garbage can make us pay it, so it must stay far below a login.
func BenchmarkVerifyOthers(b *testing.B) {
	for _, v := range vectors(b) {
		a, err := Parse(v.Authorization)
		if err != nil {
			b.Fatal(err)
		}
		if a.Algorithm == Algorithm {
			continue
		}
		b.Run(v.Name, func(b *testing.B) {
			r, at := v.received(b), v.at(b)
			b.ReportAllocs()
			for b.Loop() {
				if err := Verify(r, []byte(v.Body), a, v.Secret, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
