package aksk

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// The algorithms, as the Authorization header names them (the vendor's SDK, its
// setting SigningAlgorithm; the derived one where a derived predicate is set).
const (
	// Algorithm is the one that nearly every client uses; it has two layouts.
	Algorithm = "SDK-HMAC-SHA256"
	// AlgorithmSM3 is Algorithm in the Access layout with SM3 (GB/T 32905) in the place of SHA-256.
	AlgorithmSM3 = "SDK-HMAC-SM3"
	// AlgorithmECDSA signs with a P-256 key that is derived from access key and secret.
	AlgorithmECDSA = "SDK-ECDSA-P256-SHA256"
	// AlgorithmSM2 signs with an SM2 key (GB/T 32918) that is derived in the same way.
	AlgorithmSM2 = "SDK-SM2-SM3"
	// AlgorithmDerived signs with a key for one day, region and service, made by HKDF.
	AlgorithmDerived = "V11-HMAC-SHA256"
)

// sumSize is the length, in bytes, of both hashes and of their HMACs.
const sumSize = sha256.Size

// maxDER bounds a signature {R, S} in DER, in bytes: two numbers of 33 bytes, each
// with two bytes before it, and two before both.
const maxDER = 2*(2+33) + 2

// suite is what one algorithm is made of.
type suite struct {
	payloadHeader string // in canonical form
	emptySum      string // the hash of nothing, in hexadecimal: most requests have no body
	sum           func([]byte) [sumSize]byte
	newHash       func() hash.Hash
	// verify judges an asymmetric signature; nil means that the signature is an HMAC.
	verify func(su *suite, a Authorization, secret string, message, signature []byte) bool
}

const (
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	emptySM3    = "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"
	payloadSHA  = "X-Sdk-Content-Sha256"
	payloadSM3  = "X-Sdk-Content-Sm3"
)

var (
	suiteSHA256 = &suite{payloadHeader: payloadSHA, emptySum: emptySHA256, sum: sha256.Sum256, newHash: sha256.New}
	suiteSM3    = &suite{payloadHeader: payloadSM3, emptySum: emptySM3, sum: sm3.Sum, newHash: sm3.New}
	suiteECDSA  = &suite{
		payloadHeader: payloadSHA, emptySum: emptySHA256, sum: sha256.Sum256, newHash: sha256.New, verify: verifyECDSA,
	}
	suiteSM2 = &suite{payloadHeader: payloadSM3, emptySum: emptySM3, sum: sm3.Sum, newHash: sm3.New, verify: verifySM2}
)

// suiteOf returns the suite of an algorithm, nil for one that is not known.
func suiteOf(algorithm string) *suite {
	switch algorithm {
	case Algorithm, AlgorithmDerived:
		return suiteSHA256
	case AlgorithmSM3:
		return suiteSM3
	case AlgorithmECDSA:
		return suiteECDSA
	case AlgorithmSM2:
		return suiteSM2
	default:
		return nil
	}
}

// validSignature reports whether text can be a signature of the suite: an HMAC has
// one length, DER has a range of them.
func (su *suite) validSignature(text string) bool {
	if !isLowerHex(text) {
		return false
	}
	if su.verify == nil {
		return len(text) == 2*sumSize
	}
	return len(text) > 0 && len(text)%2 == 0 && len(text) <= 2*maxDER
}

// hexSum returns the hash of b in hexadecimal.
func (su *suite) hexSum(b []byte) string {
	if len(b) == 0 {
		return su.emptySum
	}
	sum := su.sum(b)
	return hex.EncodeToString(sum[:])
}

// payloadHash returns the last line of the canonical request.
func (su *suite) payloadHash(r *http.Request, body []byte) (string, error) {
	values := r.Header[su.payloadHeader]
	if len(values) > 1 {
		return "", malformed("more than one %s", su.payloadHeader)
	}
	if len(values) == 1 && values[0] == unsignedMarker {
		return unsignedMarker, nil
	}
	sum := su.hexSum(body)
	if len(values) == 1 && values[0] != sum { // no secret is involved: both are the caller's
		return "", ErrMismatch
	}
	return sum, nil
}

// mac returns the HMAC of message.
func (su *suite) mac(key, message []byte) (sum [sumSize]byte) {
	h := hmac.New(su.newHash, key)
	h.Write(message)
	h.Sum(sum[:0])
	return sum
}

// derivedKey returns the key of LayoutDerived: what HKDF makes, written in
// hexadecimal, because the clients take those digits for the bytes of the key.
func derivedKey(access, secret, info string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), []byte(access), info, sumSize)
	if err != nil {
		return nil, malformed("key cannot be derived") // by FIPS 140 alone, of a short secret
	}
	return hex.AppendEncode(nil, key), nil
}

// The orders of the two curves, less two, big-endian (FIPS 186-5; GB/T 32918.5).
var (
	orderP256 = [sumSize]byte{
		0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
	}
	orderSM2 = [sumSize]byte{
		0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0x72, 0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x21,
	}
)

// privateScalar derives the private key of an asymmetric algorithm from access key
// and secret, as its clients do. How often it tries depends on the secret; that it
// tries twice has a chance of 1 in 2³².
func (su *suite) privateScalar(a Authorization, secret string, orderLessTwo [sumSize]byte) []byte {
	for counter := range 256 {
		data := append([]byte{0, 0, 0, 1}, a.Algorithm...)
		data = append(data, 0)
		data = append(data, a.Access...)
		data = append(data, byte(counter), 0, 0, 1, 0)
		k := su.mac([]byte(secret), data)
		if bytes.Compare(k[:], orderLessTwo[:]) > 0 {
			continue
		}
		for i := len(k) - 1; ; i-- { // plus one, which cannot overflow
			if k[i]++; k[i] != 0 {
				return k[:]
			}
		}
	}
	return nil
}

func verifyECDSA(su *suite, a Authorization, secret string, message, signature []byte) bool {
	private, err := ecdh.P256().NewPrivateKey(su.privateScalar(a, secret, orderP256))
	if err != nil {
		return false
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), private.PublicKey().Bytes())
	if err != nil {
		return false
	}
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(public, sum[:], signature)
}

// verifySM2 takes the user id that GB/T 32918 gives where none is agreed.
func verifySM2(su *suite, a Authorization, secret string, message, signature []byte) bool {
	private, err := sm2.NewPrivateKey(su.privateScalar(a, secret, orderSM2))
	if err != nil {
		return false
	}
	return sm2.VerifyASN1WithSM2(&private.PublicKey, nil, message, signature)
}
