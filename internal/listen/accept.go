package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Accept hands each connection of ln to handle until ctx ends, which is no error,
// or ln is closed. handle must not block. Any other fault passes, most likely there
// are no file descriptors left for now: it is logged, and Accept goes on after a
// pause that grows to a second.
func Accept(ctx context.Context, ln net.Listener, log *slog.Logger, handle func(net.Conn)) error {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = shortest
			handle(c)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		}
		log.LogAttrs(ctx, slog.LevelError, "connection not accepted",
			slog.String("socket", ln.Addr().String()), slog.Any("err", err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longest)
	}
}
