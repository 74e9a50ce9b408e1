package nft

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Recover removes from the namespaces the admissions that an earlier process left
// and that keep does not want at their revision: their gates are shut and their
// flows reset before it returns. What keep wants stays as it is for Open to adopt.
// Call it before anything is opened.
func (k *Kernel) Recover(ctx context.Context, namespaces []Namespace, keep func(endpoint string, admitted int64) bool) error {
	spaces, err := k.attachAll(ctx, namespaces)
	err = errors.Join(err, k.finishOrphans(ctx, spaces, func(comment string) bool {
		return keep(parseComment(comment))
	}))
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	return nil
}

// parseComment reads what comment wrote. Of a comment that is not ours the revision
// is -1, which is none.
func parseComment(c string) (endpoint string, admitted int64) {
	rev, id, _ := strings.Cut(c, " ")
	n, err := strconv.ParseInt(rev, 10, 64)
	if err != nil {
		n = -1
	}
	return id, n
}
