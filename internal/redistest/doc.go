// Package redistest starts real Redis or Valkey servers for tests: one, a
// Cluster of three masters, or a master and a replica that three Sentinels
// watch. They listen on 127.0.0.1 only, keep their files below /tmp, and end
// with the test, or with the test binary if that is killed.
//
// REDIS_SERVER names the server to run; without it redis-server is taken, else
// valkey-server. Where there is none the test skips, and fails if CI is true.
//
//	lab := redistest.Cluster(t)
//	lab.Kill(lab.Nodes[0])
//	lab.Restart(lab.Nodes[0])
package redistest
