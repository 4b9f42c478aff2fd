package redistest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// masterName is what the Sentinels call their master.
const masterName = "gatepost"

// Lab is a set of servers that belong together.
type Lab struct {
	// Addresses are what a client is configured with: the server, the masters
	// of the Cluster, or the Sentinels.
	Addresses []string
	// MasterName is what to ask the Sentinels for; "" without them.
	MasterName string
	// Nodes are the servers that hold data: masters first, then replicas.
	Nodes []*Node
	// Sentinels watch the first two nodes.
	Sentinels []*Node

	t testing.TB
}

type options struct {
	persist, replicas bool
	args              []string
}

// Option changes how servers are started.
type Option func(*options)

// Persist keeps the data over a Restart: each write is the kernel's before it is
// answered, which a killed server does not undo. The disk is not waited for.
func Persist() Option { return func(o *options) { o.persist = true } }

// Replicas gives each master of a Cluster a replica.
func Replicas() Option { return func(o *options) { o.replicas = true } }

// Args adds settings to those of each server: "--maxmemory", "2mb".
func Args(args ...string) Option {
	return func(o *options) { o.args = append(o.args, args...) }
}

func gather(opts []Option) *options {
	o := &options{}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// server starts one server that holds data.
func (o *options) server(t testing.TB, more ...string) *Node {
	t.Helper()
	return start(t, func(port int, dir string) []string {
		args := []string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--logfile", filepath.Join(dir, "log"),
			"--save", "", "--daemonize", "no", "--io-threads", "1",
			"--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
		}
		if o.persist {
			args = append(args, "--appendonly", "yes", "--appendfsync", "no")
		}
		return append(append(args, more...), o.args...)
	})
}

// Single starts one server.
func Single(t testing.TB, opts ...Option) *Lab {
	t.Helper()
	n := gather(opts).server(t)
	return &Lab{t: t, Addresses: []string{n.Addr}, Nodes: []*Node{n}}
}

// Cluster starts three masters that share the slots.
// join makes a Cluster of the nodes.
// ID returns the node's name in the Cluster.
// Settled waits until each node that lives says that all slots are served and
// until each replica has its master's data.
// followed waits until the replicas of n say that they have all that n has now,
// a message of ours as the last. A link that is up says less: the master may send
// what came after the first copy a second later.
func (l *Lab) followed(n *Node) {
	l.t.Helper()
	if n.Role() != "master" {
		return
	}
	n.must("PUBLISH", "redistest", "")
	info, _ := n.must("INFO", "replication").(string)
	have := numberAfter(info, "master_repl_offset:")
	until(l.t, "the replicas of "+n.Addr, func() bool {
		info, ok := n.Do("INFO", "replication").(string)
		for line := range strings.Lines(info) {
			if strings.HasPrefix(line, "slave") && strings.Contains(line, "ip=") {
				ok = ok && strings.Contains(line, "state=online") && numberAfter(line, "offset=") >= have
			}
		}
		return ok
	})
}

// numberAfter returns the number that follows name in text, or -1.
func numberAfter(text, name string) int64 {
	_, rest, _ := strings.Cut(text, name)
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(rest)
	}
	n, err := strconv.ParseInt(rest[:digits], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// synced reports whether n is a master, or a replica with its master's data.
func (n *Node) synced() bool {
	info, _ := n.Do("INFO", "replication").(string)
	return strings.Contains(info, "role:master") || strings.Contains(info, "master_link_status:up")
}

// Role returns "master" or "slave", as the server says it, or "" if it does not
// answer.
func (n *Node) Role() string {
	role, _ := n.Do("ROLE").([]any)
	if len(role) == 0 {
		return ""
	}
	name, _ := role[0].(string)
	return name
}

// Sentinel starts a master, a replica and three Sentinels, two of which have to
// agree. They take a master for dead after half a second.
func Sentinel(t testing.TB, opts ...Option) *Lab {
	t.Helper()
	o := gather(opts)
	master := o.server(t)
	_, port, _ := strings.Cut(master.Addr, ":")
	replica := o.server(t, "--replicaof", "127.0.0.1", port)
	lab := &Lab{t: t, MasterName: masterName, Nodes: []*Node{master, replica}}
	until(t, "the replica to have the data", replica.synced)
	lab.followed(master)
	for range 3 {
		n := start(t, func(p int, dir string) []string { return sentinelArgs(t, p, dir, port) })
		// They look at their servers every ten seconds otherwise. A server that
		// does not know the command is slower, and right.
		n.Do("SENTINEL", "DEBUG", "INFO-PERIOD", 1000, "PUBLISH-PERIOD", 500)
		lab.Sentinels = append(lab.Sentinels, n)
		lab.Addresses = append(lab.Addresses, n.Addr)
	}
	for _, n := range lab.Sentinels {
		until(t, "the sentinels to know each other and the replica", func() bool {
			info, ok := n.Do("INFO", "sentinel").(string)
			return ok && strings.Contains(info, "status=ok") && strings.Contains(info, "slaves=1,sentinels=3")
		})
	}
	return lab
}

// Master returns the node that is the master now. With Sentinels they are
// asked, all of which have to name one that says so itself.
func (l *Lab) Master() *Node {
	l.t.Helper()
	var found *Node
	until(l.t, "a master", func() bool {
		found = l.master()
		return found != nil
	})
	return found
}

func (l *Lab) master() *Node {
	if len(l.Sentinels) == 0 {
		return l.Nodes[0]
	}
	var addr string
	for _, s := range l.Sentinels {
		if s.gone() {
			continue
		}
		at, _ := s.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).([]any)
		if len(at) != 2 {
			return nil
		}
		host, _ := at[0].(string)
		port, _ := at[1].(string)
		if addr != "" && addr != host+":"+port {
			return nil
		}
		addr = host + ":" + port
	}
	for _, n := range l.Nodes {
		if n.Addr == addr && !n.gone() && n.Role() == "master" {
			return n
		}
	}
	return nil
}

// Kill ends a server at once, as kill -9 does.
func (l *Lab) Kill(n *Node) { n.end() }

// Stop lets a server hang: connections stand, nothing is answered.
func (l *Lab) Stop(n *Node) {
	l.t.Helper()
	n.signal(syscall.SIGSTOP)
}

// Cont lets a stopped server go on.
func (l *Lab) Cont(n *Node) {
	l.t.Helper()
	n.signal(syscall.SIGCONT)
}

// Restart kills a server if it runs, and starts it again on its address. Its
// data is gone unless Persist was asked for.
func (l *Lab) Restart(n *Node) {
	l.t.Helper()
	n.end()
	if !n.run() {
		l.t.Fatalf("redistest: %s did not come back: %s", n.Addr, n.tail())
	}
}

// Failover makes a replica the master and returns when all agree: with
// Sentinels the one replica, in a Cluster with replicas that of the first node
// that is a master.
func (l *Lab) Failover() {
	l.t.Helper()
	if len(l.Sentinels) == 0 {
		l.clusterFailover()
		return
	}
	was := l.Master()
	var asked time.Time
	until(l.t, "the failover", func() bool {
		// They refuse while one goes on, and give up one that takes long.
		if time.Since(asked) > 2*time.Second {
			l.Sentinels[0].Do("SENTINEL", "FAILOVER", masterName)
			asked = time.Now()
		}
		now := l.master()
		return now != nil && now != was
	})
	until(l.t, "the old master to follow", func() bool { return was.Role() == "slave" && was.synced() })
	l.followed(l.Master())
}

// clusterFailover lets the first replica take over its master's place.
// gone reports whether the server has ended.
func (n *Node) gone() bool {
	select {
	case <-n.exited:
		return true
	default:
		return false
	}
}

// sentinelArgs writes the file that a Sentinel keeps its state in, and returns
// the arguments to run it.
func sentinelArgs(t testing.TB, port int, dir, master string) []string {
	t.Helper()
	path := filepath.Join(dir, "sentinel.conf")
	conf := strings.Join([]string{
		"port " + strconv.Itoa(port), "bind 127.0.0.1", "dir " + dir, "logfile " + filepath.Join(dir, "log"),
		"sentinel monitor " + masterName + " 127.0.0.1 " + master + " 2",
		"sentinel down-after-milliseconds " + masterName + " 500",
		"sentinel failover-timeout " + masterName + " 1500",
		"sentinel parallel-syncs " + masterName + " 1", "",
	}, "\n")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{path, "--sentinel"}
}

// Owner returns the master of a Cluster that serves slot.
// Migrate moves a slot of a Cluster with its keys, as redis-cli --cluster
// reshard does. meanwhile is called when half of it is done: some keys are on
// either side, and those that are not there any more are asked for with ASK.
