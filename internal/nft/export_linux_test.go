package nft

import "testing"

// WithoutForceForwarding makes the package do as on kernels before 6.17.
func WithoutForceForwarding(t *testing.T) {
	t.Helper()
	was := forceForwarding
	forceForwarding = "no_such_setting"
	t.Cleanup(func() { forceForwarding = was })
}
