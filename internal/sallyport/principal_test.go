package sallyport_test

import (
	"testing"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// If this fails, a reader can change things, or somebody without a role can look.
func TestMay(t *testing.T) {
	for _, tt := range []struct {
		name        string
		roles       []sallyport.Role
		read, write bool
	}{
		{"nobody", nil, false, false},
		{"reader", []sallyport.Role{sallyport.RoleReader}, true, false},
		{"admin", []sallyport.Role{sallyport.RoleAdmin}, true, true},
		{"both", []sallyport.Role{sallyport.RoleReader, sallyport.RoleAdmin}, true, true},
		{"unknown role", []sallyport.Role{"owner"}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := sallyport.Principal{Roles: tt.roles}
			if got := p.May(false); got != tt.read {
				t.Errorf("may look = %v, want %v", got, tt.read)
			}
			if got := p.May(true); got != tt.write {
				t.Errorf("may change = %v, want %v", got, tt.write)
			}
		})
	}
}
