package admin

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/shared"
)

// someState is a stateAdmin.
type someState struct{ err error }

func (s someState) State(context.Context) (State, error) {
	return State{Embedded: state.Overview{Path: "/x", Tables: []state.TableOverview{{Table: state.Ban, Rows: 3}}},
		Shared: &shared.Stats{Away: true, Why: "errors"}, Redis: &RedisState{Fault: "it is away"}}, s.err
}

func (s someState) Verify(context.Context) (StateReport, error) {
	return StateReport{Embedded: state.Report{Checked: 7, Faults: []string{"one"}}}, s.err
}

func (s someState) GC(context.Context) (StateCollected, error) {
	return StateCollected{Embedded: state.Collected{Removed: 5}, Redis: &state.Collected{Removed: 2}}, s.err
}

func TestStateOverTheSocket(t *testing.T) {
	for _, fault := range []error{nil, errors.New("the disk is gone")} {
		srv := &Server{mux: http.NewServeMux(), log: discard}
		srv.stateRoutes(someState{fault})
		c := &Client{path: "the test", http: &http.Client{Transport: localTransport{srv.mux}}}
		st, err := c.State(t.Context())
		if (err != nil) != (fault != nil) || err == nil && (st.Embedded.Tables[0].Rows != 3 || !st.Shared.Away || st.Redis.Fault == "") {
			t.Errorf("State() = %+v, %v", st, err)
		}
		r, err := c.VerifyState(t.Context())
		if (err != nil) != (fault != nil) || err == nil && (r.Embedded.Checked != 7 || len(r.Embedded.Faults) != 1 || r.Redis != nil) {
			t.Errorf("VerifyState() = %+v, %v", r, err)
		}
		g, err := c.CollectState(t.Context())
		if (err != nil) != (fault != nil) || err == nil && (g.Embedded.Removed != 5 || g.Redis.Removed != 2) {
			t.Errorf("CollectState() = %+v, %v", g, err)
		}
	}
}
