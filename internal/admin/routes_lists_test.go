package admin

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/gatepost/gatepost/internal/lists"
	"github.com/gatepost/gatepost/internal/lists/maps"
	"github.com/gatepost/gatepost/internal/unit"
)

type fakeLists struct{ asked string }

func (*fakeLists) Status() []lists.Status {
	return []lists.Status{{Name: "L", State: lists.On, Mode: unit.Enforce}}
}

func (f *fakeLists) Check(_ context.Context, what string) ([]lists.Checked, error) {
	f.asked = what
	if what == "none.example" {
		return nil, lists.ErrNotAsked
	}
	return []lists.Checked{{List: "L", Listed: true}}, nil
}

type fakeMaps struct{}

func (fakeMaps) Status() []maps.Status {
	return []maps.Status{{Name: "m", Entries: 3, Mode: unit.Observe}}
}

func TestListRoutes(t *testing.T) {
	s := &Server{mux: http.NewServeMux(), log: discard}
	f := &fakeLists{}
	s.listRoutes(f, fakeMaps{})
	c, ctx := &Client{path: "test", http: &http.Client{Transport: localTransport{s.mux}}}, t.Context()
	got, err := c.Lists(ctx)
	if err != nil || len(got.Lists) != 1 || got.Lists[0].State != lists.On || len(got.Maps) != 1 || got.Maps[0].Entries != 3 {
		t.Errorf("Lists() = %+v, %v", got, err)
	}
	checked, err := c.CheckLists(ctx, "a+b&c@example.net")
	if err != nil || len(checked) != 1 || !checked[0].Listed || f.asked != "a+b&c@example.net" {
		t.Errorf("CheckLists() = %+v, %v, asked %q", checked, err, f.asked)
	}
	if _, err := c.CheckLists(ctx, "none.example"); !errors.Is(err, lists.ErrNotAsked) {
		t.Errorf("error %v", err)
	}
}
