package known

import (
	"context"
	"fmt"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// Wrote reports whether user sent mail to rcpt within the last 90 days.
func (m *Memory) Wrote(ctx context.Context, user, rcpt mailaddr.Address) (bool, error) {
	_, ok, err := m.get(ctx, state.Sent, hash("pair", address(user), address(rcpt)))
	if err != nil {
		return false, fmt.Errorf("ask the memory: %w", err)
	}
	return ok, nil
}
