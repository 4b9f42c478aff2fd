package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/learn"
)

// learnStore is package learn's Learner.
type learnStore interface {
	Learn(ctx context.Context, w learn.Wish) (learn.Result, error)
	Undo(ctx context.Context, c learn.Choice) (learn.Undone, error)
	List(ctx context.Context, c learn.Choice) ([]learn.Entry, error)
	Status(ctx context.Context) (learn.Status, error)
	Approve(ctx context.Context, user string) (learn.Result, error)
	Drop(ctx context.Context, user string) (int, error)
	ScoreItem(features []byte) (classify.Score, error)
}

// pending names a mailbox whose moves wait.
type pending struct {
	User string `json:"user"`
}

// looks are the features of a message, as learn.Item has them.
type looks struct {
	Features []byte `json:"features"`
}

// dropped is how many messages were dropped.
type dropped struct {
	Dropped int `json:"dropped"`
}

// learnRoutes never open a file: the command line reads the messages, with the
// rights of who runs it, and sends their features.
func (s *Server) learnRoutes(l learnStore) {
	s.handle("GET /v1/learn/status", func(r *http.Request) (any, error) { return l.Status(r.Context()) })
	s.handle("GET /v1/learn", func(r *http.Request) (any, error) {
		c, err := choice(r.URL.Query())
		if err != nil {
			return nil, badRequest(err)
		}
		list, err := l.List(r.Context(), c)
		if list == nil {
			list = []learn.Entry{}
		}
		return list, err
	})
	s.handle("POST /v1/learn", func(r *http.Request) (any, error) {
		var in learn.Wish
		if err := input(r, &in); err != nil {
			return nil, err
		}
		out, err := l.Learn(r.Context(), in)
		return out, learnError(err)
	})
	s.handle("POST /v1/learn/score", func(r *http.Request) (any, error) {
		var in looks
		if err := input(r, &in); err != nil {
			return nil, err
		}
		out, err := l.ScoreItem(in.Features)
		return out, learnError(err)
	})
	s.handle("POST /v1/learn/undo", func(r *http.Request) (any, error) {
		var in learn.Choice
		if err := input(r, &in); err != nil {
			return nil, err
		}
		out, err := l.Undo(r.Context(), in)
		return out, learnError(err)
	})
	s.handle("POST /v1/learn/approve", func(r *http.Request) (any, error) {
		var in pending
		if err := input(r, &in); err != nil {
			return nil, err
		}
		out, err := l.Approve(r.Context(), in.User)
		return out, learnError(err)
	})
	s.handle("POST /v1/learn/drop", func(r *http.Request) (any, error) {
		var in pending
		if err := input(r, &in); err != nil {
			return nil, err
		}
		n, err := l.Drop(r.Context(), in.User)
		return dropped{n}, learnError(err)
	})
}

// learnError gives an error of the learner its status.
func learnError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, learn.ErrNone):
		return &Error{Status: http.StatusNotFound, Text: err.Error()}
	case errors.Is(err, learn.ErrTooMany), errors.Is(err, learn.ErrSource), errors.Is(err, learn.ErrFeatures), errors.Is(err, learn.ErrChoice):
		return badRequest(err)
	case errors.Is(err, learn.ErrLater), errors.Is(err, learn.ErrFull):
		return &Error{Status: http.StatusServiceUnavailable, Text: err.Error()}
	}
	return err
}

// choice reads what query chooses.
func choice(q url.Values) (c learn.Choice, err error) {
	c.Message, c.User = q.Get("message"), q.Get("user")
	if v := q.Get("id"); v != "" {
		if c.ID, err = strconv.ParseInt(v, 10, 64); err != nil {
			return c, err
		}
	}
	if v := q.Get("limit"); v != "" {
		if c.Limit, err = strconv.Atoi(v); err != nil {
			return c, err
		}
	}
	if v := q.Get("since"); v != "" {
		c.Since, err = time.Parse(time.RFC3339, v)
	}
	return c, err
}

// Learn has messages learned.
func (c *Client) Learn(ctx context.Context, w learn.Wish) (learn.Result, error) {
	var out learn.Result
	err := c.do(ctx, http.MethodPost, "/v1/learn", w, &out)
	return out, err
}

// LearnedScore returns what the learned filter says of a message with those
// features.
func (c *Client) LearnedScore(ctx context.Context, features []byte) (classify.Score, error) {
	var out classify.Score
	err := c.do(ctx, http.MethodPost, "/v1/learn/score", looks{features}, &out)
	return out, err
}

// Unlearn takes learns back.
func (c *Client) Unlearn(ctx context.Context, choice learn.Choice) (learn.Undone, error) {
	var out learn.Undone
	err := c.do(ctx, http.MethodPost, "/v1/learn/undo", choice, &out)
	return out, err
}

// Learns lists what was learned, the newest first.
func (c *Client) Learns(ctx context.Context, choice learn.Choice) ([]learn.Entry, error) {
	q := url.Values{"message": {choice.Message}, "user": {choice.User}, "limit": {strconv.Itoa(choice.Limit)}}
	if choice.ID != 0 {
		q.Set("id", strconv.FormatInt(choice.ID, 10))
	}
	if !choice.Since.IsZero() {
		q.Set("since", choice.Since.Format(time.RFC3339))
	}
	var out []learn.Entry
	err := c.do(ctx, http.MethodGet, "/v1/learn?"+q.Encode(), nil, &out)
	return out, err
}

// LearnStatus tells where learning stands.
func (c *Client) LearnStatus(ctx context.Context) (learn.Status, error) {
	var out learn.Status
	err := c.do(ctx, http.MethodGet, "/v1/learn/status", nil, &out)
	return out, err
}

// ApproveLearns learns what waits of a mailbox.
func (c *Client) ApproveLearns(ctx context.Context, user string) (learn.Result, error) {
	var out learn.Result
	err := c.do(ctx, http.MethodPost, "/v1/learn/approve", pending{user}, &out)
	return out, err
}

// DropLearns forgets what waits of a mailbox.
func (c *Client) DropLearns(ctx context.Context, user string) (int, error) {
	var out dropped
	err := c.do(ctx, http.MethodPost, "/v1/learn/drop", pending{user}, &out)
	return out.Dropped, err
}
