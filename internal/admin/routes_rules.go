package admin

import (
	"context"
	"net/http"

	"github.com/gatepost/gatepost/internal/scan"
)

// ruleStore is the filter's rules.
type ruleStore interface {
	Rules() []scan.State
}

// Rules returns the rules of the process that runs, with what each has hit.
func (c *Client) Rules(ctx context.Context) ([]scan.State, error) {
	var out []scan.State
	err := c.do(ctx, http.MethodGet, "/v1/rules", nil, &out)
	return out, err
}
