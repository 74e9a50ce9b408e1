package sallyport_test

import (
	"crypto/sha256"
	"reflect"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// sampleRecord has a value of its own in every field.
func sampleRecord() sallyport.Record {
	return sallyport.Record{
		Rev: 7, At: time.UnixMicro(1_767_323_045_000_001).UTC(), Family: "vpcep", Operation: "AcceptOrRejectEndpoint",
		Action: "reject", Outcome: sallyport.OutcomeDone, Reason: "r", Object: sallyport.ObjectEndpoint, ObjectID: "e1",
		ServiceID: "s1", From: "accepted", To: "rejected", DomainID: "d1", ProjectID: "p1", UserID: "u1",
		UserName: "paula", Method: sallyport.MethodToken, Source: "127.0.0.1", RequestID: "q1", Detail: "k=v",
	}
}

// If this fails, a field can be changed in the database and the chain of hashes
// does not show it. A new field has to be added to Chain.
func TestChainCoversEveryField(t *testing.T) {
	base := sampleRecord()
	want := base.Chain([32]byte{})
	typ := reflect.TypeFor[sallyport.Record]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		t.Run(name, func(t *testing.T) {
			r := sampleRecord()
			f := reflect.ValueOf(&r).Elem().Field(i)
			if name != "Hash" && f.IsZero() {
				t.Fatal("the sample says nothing here")
			}
			switch {
			case name == "Hash":
				r.Hash[0] ^= 1
				if r.Chain([32]byte{}) != want {
					t.Error("the hash depends on itself")
				}
				return
			case f.Type() == reflect.TypeFor[time.Time]():
				f.Set(reflect.ValueOf(r.At.Add(time.Microsecond)))
			case f.Kind() == reflect.String:
				f.SetString(f.String() + "x")
			case f.CanInt():
				f.SetInt(f.Int() + 1)
			default:
				t.Fatalf("the test does not know how to change a %v", f.Type())
			}
			if r.Chain([32]byte{}) == want {
				t.Error("a change of the field does not change the hash")
			}
		})
	}
}

// A chain, and not a heap of hashes: a record that is taken out, or swapped with
// its neighbour, must show in all that come after it.
func TestChainCoversWhatCameBefore(t *testing.T) {
	r := sampleRecord()
	if r.Chain([32]byte{}) == r.Chain([32]byte{1}) {
		t.Error("the hash does not depend on the one before")
	}
}

// Two records that differ only in where one field ends must not be the same
// bytes to the hash.
func TestChainKeepsFieldsApart(t *testing.T) {
	a, b := sampleRecord(), sampleRecord()
	a.From, a.To = "accept", "edrejected"
	b.From, b.To = "accepted", "rejected"
	if a.Chain([32]byte{}) == b.Chain([32]byte{}) {
		t.Error("moving the border between two fields does not change the hash")
	}
}

// Logs are kept for years. If this fails, a log that was written before the
// change can no longer be verified; docs/operating/audit.md describes the bytes.
func TestChainEncodingIsFixed(t *testing.T) {
	r := sampleRecord()
	prev := sha256.Sum256([]byte("the record before"))
	r.Hash = r.Chain(prev)
	const want = "974ed6ce8e47ce1f085017d041bf29593902cb723d6aa8337bffb17b73525a0c"
	if got := r.HashText(); got != want {
		t.Errorf("hash = %s, want %s", got, want)
	}
}
