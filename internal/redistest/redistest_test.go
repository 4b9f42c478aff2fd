package redistest

import (
	"testing"
)

func TestSingle(t *testing.T) {
	lab := Single(t, Persist())
	n := lab.Nodes[0]
	n.must("SET", "k", "v")
	lab.Restart(n)
	if v := n.must("GET", "k"); v != "v" {
		t.Errorf("GET after a restart = %v", v)
	}
	lab.Stop(n)
	lab.Cont(n)
	n.must("PING")
	lab.Kill(n)
	if _, bad := n.Do("PING").(error); !bad {
		t.Error("a killed server answers")
	}
}

func TestCluster(t *testing.T) {
	lab := Cluster(t, Replicas())
	lab.Failover()
	lab.Kill(lab.Nodes[1])
	until(t, "a replica to take over", func() bool { return lab.Nodes[4].Role() == "master" })
	lab.Settled()
}

func TestSentinel(t *testing.T) {
	lab := Sentinel(t)
	was := lab.Master()
	lab.Failover()
	if lab.Master() == was {
		t.Error("the master is the old one")
	}
	lab.Kill(lab.Master())
	if lab.Master() != was {
		t.Error("no failover back")
	}
}
