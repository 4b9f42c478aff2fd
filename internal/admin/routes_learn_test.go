package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/learn"
)

// fakeLearn answers with what it was asked.
type fakeLearn struct {
	wish   learn.Wish
	choice learn.Choice
	user   string
	err    error
}

func (f *fakeLearn) Learn(_ context.Context, w learn.Wish) (learn.Result, error) {
	f.wish = w
	return learn.Result{Outcomes: []learn.Outcome{{ID: 7, What: learn.New}}}, f.err
}
func (f *fakeLearn) Undo(_ context.Context, c learn.Choice) (learn.Undone, error) {
	f.choice = c
	return learn.Undone{Undone: 3}, f.err
}
func (f *fakeLearn) List(_ context.Context, c learn.Choice) ([]learn.Entry, error) {
	f.choice = c
	return nil, f.err
}
func (f *fakeLearn) Status(context.Context) (learn.Status, error) {
	return learn.Status{Ham: 31, Spam: 12, Weight: 0.4}, f.err
}
func (f *fakeLearn) Approve(_ context.Context, user string) (learn.Result, error) {
	f.user = user
	return learn.Result{}, f.err
}
func (f *fakeLearn) Drop(_ context.Context, user string) (int, error) {
	f.user = user
	return 5, f.err
}

func (f *fakeLearn) ScoreItem(features []byte) (classify.Score, error) {
	if len(features) == 0 {
		return classify.Score{}, learn.ErrFeatures
	}
	return classify.Score{Logit: -2.5, Weight: 0.4, Ham: 31, Spam: 12}, f.err
}

func learnClient(f *fakeLearn) *Client {
	s := &Server{mux: http.NewServeMux(), log: slog.New(slog.DiscardHandler)}
	s.learnRoutes(f)
	return &Client{http: &http.Client{Transport: localTransport{s.mux}}}
}

func TestLearnRoutes(t *testing.T) {
	f := &fakeLearn{}
	c := learnClient(f)
	at := time.Date(2026, 11, 20, 11, 30, 0, 0, time.UTC)
	wish := learn.Wish{Spam: true, Source: learn.CLI, Items: []learn.Item{{
		Trace: learn.Trace{QueueID: "A1", Arrived: at, MessageID: "a@b"}, Features: []byte{0, 255}, Campaign: -1 << 62}}}
	if r, err := c.Learn(t.Context(), wish); err != nil || r.Count(learn.New) != 1 || !reflect.DeepEqual(f.wish, wish) {
		t.Errorf("Learn = %+v, %v, asked %+v", r, err, f.wish)
	}
	choice := learn.Choice{ID: 7, Message: "<a+b@c>", User: "alice@example.org", Since: at, Limit: 9}
	if l, err := c.Learns(t.Context(), choice); err != nil || l == nil || f.choice != choice {
		t.Errorf("Learns = %v, %v, asked %+v", l, err, f.choice)
	}
	f.choice = learn.Choice{}
	if u, err := c.Unlearn(t.Context(), choice); err != nil || u.Undone != 3 || f.choice != choice {
		t.Errorf("Unlearn = %+v, %v, asked %+v", u, err, f.choice)
	}
	if s, err := c.LearnStatus(t.Context()); err != nil || s.Ham != 31 || s.Weight != 0.4 {
		t.Errorf("LearnStatus = %+v, %v", s, err)
	}
	if s, err := c.LearnedScore(t.Context(), []byte{0}); err != nil || s.Logit != -2.5 || s.Spam != 12 {
		t.Errorf("LearnedScore = %+v, %v", s, err)
	}
	var refused *Error
	if _, err := c.LearnedScore(t.Context(), nil); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
		t.Errorf("LearnedScore of nothing = %v", err)
	}
	if _, err := c.ApproveLearns(t.Context(), "alice@example.org"); err != nil || f.user != "alice@example.org" {
		t.Errorf("ApproveLearns = %v, asked %q", err, f.user)
	}
	if n, err := c.DropLearns(t.Context(), "bob@example.org"); err != nil || n != 5 || f.user != "bob@example.org" {
		t.Errorf("DropLearns = %d, %v, asked %q", n, err, f.user)
	}
}

func TestLearnRefusals(t *testing.T) {
	f := &fakeLearn{}
	c := learnClient(f)
	for err, status := range map[error]int{learn.ErrNone: 404, learn.ErrChoice: 400, learn.ErrFeatures: 400, learn.ErrSource: 400, learn.ErrTooMany: 400, learn.ErrClosed: 500} {
		f.err = err
		_, got := c.Unlearn(t.Context(), learn.Choice{ID: 1})
		if e, ok := got.(*Error); !ok || e.Status != status || !strings.Contains(e.Text, err.Error()) {
			t.Errorf("%v became %v", err, got)
		}
	}
	f.err = nil
	for _, q := range []string{"id=x", "limit=x", "since=yesterday"} {
		if err := c.do(t.Context(), http.MethodGet, "/v1/learn?"+q, nil, nil); err == nil {
			t.Errorf("%s: no error", q)
		}
	}
	if err := c.do(t.Context(), http.MethodPost, "/v1/learn", map[string]string{"path": "/etc/passwd"}, nil); err == nil {
		t.Error("a path was taken")
	}
}
