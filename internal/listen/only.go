package listen

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
)

// Only lets handle serve conn when the user at its other end is uid, by what the
// kernel says (SO_PEERCRED), and closes it. A stranger and a panic are logged, under
// the name of the program.
func Only(ctx context.Context, conn net.Conn, uid int, name string, log *slog.Logger, handle func()) {
	defer func() { _ = conn.Close() }()
	defer func() {
		if v := recover(); v != nil {
			log.LogAttrs(ctx, slog.LevelError, name+" failed by a fault of ours",
				slog.Any("err", fmt.Errorf("panic: %v", v)), slog.String("stack", string(debug.Stack())))
		}
	}()
	cred, err := PeerCred(conn)
	if err != nil || cred.UID != uid {
		log.LogAttrs(ctx, slog.LevelWarn, name+" refused a stranger", slog.Int("uid", cred.UID), slog.Any("err", err))
		return
	}
	handle()
}
