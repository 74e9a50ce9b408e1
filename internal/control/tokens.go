package control

import (
	"context"
	"time"

	"github.com/sallyport-net/sallyport/internal/sallyport"
)

// maxRevocations is how many revoked tokens may be alive at a time. A token
// lives a day and revoking is an exception; a caller who logs in and out in a
// loop shall not fill the memory.
const maxRevocations = 100_000

// Revoked reports whether the token with this id was revoked.
func (p *Plane) Revoked(ctx context.Context, tokenID string) (bool, error) {
	v, err := p.store.View(ctx)
	if err != nil {
		return false, err
	}
	return v.Revoked(tokenID), nil
}

// Revoke makes the token invalid, on every server at once, until it expires.
func (p *Plane) Revoke(ctx context.Context, c sallyport.Call, tokenID string, expires time.Time) error {
	t := target{kind: sallyport.ObjectToken, id: tokenID, action: "revoke"}
	return p.store.Update(ctx, func(tx sallyport.Tx) error {
		if tx.Revoked(tokenID) {
			return nil
		}
		if tx.Revocations(p.now()) >= maxRevocations {
			return sallyport.Refuse(sallyport.KindQuota, sallyport.ReasonTokensFull,
				"%d revoked tokens have not expired yet", maxRevocations)
		}
		rev := tx.Record(p.record(c, t, sallyport.OutcomeDone))
		tx.PutRevocation(&sallyport.Revocation{
			TokenID: tokenID, ExpiresAt: expires.UTC().Truncate(time.Microsecond), Rev: rev,
		})
		return nil
	})
}
