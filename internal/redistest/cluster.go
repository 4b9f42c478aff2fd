package redistest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func Cluster(t testing.TB, opts ...Option) *Lab {
	t.Helper()
	o := gather(opts)
	lab := &Lab{t: t}
	count := 3
	if o.replicas {
		count = 6
	}
	for range count {
		lab.Nodes = append(lab.Nodes, o.server(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "800",
			"--cluster-require-full-coverage", "no", "--cluster-config-file", "nodes.conf",
			"--cluster-replica-validity-factor", "0"))
	}
	lab.join()
	return lab
}

func (l *Lab) join() {
	l.t.Helper()
	const slots = 16384
	for i, n := range l.Nodes {
		n.must("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < 3 {
			n.must("CLUSTER", "ADDSLOTSRANGE", i*slots/3, (i+1)*slots/3-1)
			l.Addresses = append(l.Addresses, n.Addr)
		}
		_, port, _ := strings.Cut(n.Addr, ":")
		l.Nodes[0].must("CLUSTER", "MEET", "127.0.0.1", port)
	}
	for _, n := range l.Nodes {
		until(l.t, "the nodes of the cluster to meet", func() bool {
			nodes, ok := n.Do("CLUSTER", "NODES").(string)
			return ok && strings.Count(nodes, "\n") == len(l.Nodes) &&
				!strings.Contains(nodes, "handshake") && !strings.Contains(nodes, "disconnected")
		})
	}
	for i, n := range l.Nodes[3:] {
		n.must("CLUSTER", "REPLICATE", l.Nodes[i].ID())
	}
	l.Settled()
}

func (n *Node) ID() string {
	n.t.Helper()
	return n.must("CLUSTER", "MYID").(string)
}

func (l *Lab) Settled() {
	l.t.Helper()
	for _, n := range l.Nodes {
		if n.gone() {
			continue
		}
		until(l.t, "the cluster to settle", func() bool {
			info, ok := n.Do("CLUSTER", "INFO").(string)
			return ok && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") &&
				n.synced()
		})
		l.followed(n)
	}
}

func (l *Lab) clusterFailover() {
	l.t.Helper()
	i := slices.IndexFunc(l.Nodes, func(n *Node) bool { return !n.gone() && n.Role() == "slave" })
	if i < 0 {
		l.t.Fatal("redistest: no replica to fail over to")
	}
	n := l.Nodes[i]
	var asked time.Time
	until(l.t, "the replica to be master", func() bool {
		// A master that took over a moment ago may overhear it.
		if time.Since(asked) > time.Second {
			n.Do("CLUSTER", "FAILOVER") // refused by one that has just become master
			asked = time.Now()
		}
		return n.Role() == "master"
	})
	l.Settled()
}

func (l *Lab) Owner(slot int64) *Node {
	l.t.Helper()
	for _, n := range l.Nodes {
		if n.gone() || n.Role() != "master" {
			continue
		}
		ranges, _ := n.must("CLUSTER", "SLOTS").([]any)
		for _, r := range ranges {
			part, _ := r.([]any)
			first, last := part[0].(int64), part[1].(int64)
			_, port, _ := strings.Cut(n.Addr, ":")
			if at := part[2].([]any)[1].(int64); first <= slot && slot <= last && strconv.FormatInt(at, 10) == port {
				return n
			}
		}
	}
	l.t.Fatalf("redistest: nobody serves slot %d", slot)
	return nil
}

func (l *Lab) Migrate(slot int64, from, to *Node, meanwhile func()) {
	l.t.Helper()
	to.must("CLUSTER", "SETSLOT", slot, "IMPORTING", from.ID())
	from.must("CLUSTER", "SETSLOT", slot, "MIGRATING", to.ID())
	meanwhile()
	_, port, _ := strings.Cut(to.Addr, ":")
	for {
		keys, _ := from.must("CLUSTER", "GETKEYSINSLOT", slot, 10).([]any)
		if len(keys) == 0 {
			break
		}
		from.must(append([]any{"MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS"}, keys...)...)
	}
	meanwhile()
	for _, n := range []*Node{to, from} {
		n.must("CLUSTER", "SETSLOT", slot, "NODE", to.ID())
	}
	for _, n := range l.Nodes {
		if n != to && n != from {
			n.must("CLUSTER", "SETSLOT", slot, "NODE", to.ID())
		}
	}
}
