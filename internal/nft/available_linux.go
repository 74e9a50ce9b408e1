package nft

import (
	"fmt"

	"github.com/google/nftables"
)

// Available says what the machine lacks for the kernel engine and the gate: a
// capability of this process, or nftables in its kernel. It is nil where nothing
// does. It changes nothing.
func Available() error {
	if missing := missingCapability(); missing != "" {
		return fmt.Errorf("the capability %s is missing", missing)
	}
	c, err := nftables.New()
	if err == nil {
		_, err = c.ListTables()
	}
	if err != nil {
		return fmt.Errorf("nftables does not answer: %w", err)
	}
	return nil
}
