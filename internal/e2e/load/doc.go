// Package load has the benchmarks of the whole program: the real binary, in a
// process of its own, with the default configuration, journal, log, memory and
// learned filter on, and a client that speaks to its milter socket as Postfix
// does. What the process used is read from /proc, so that neither the client nor
// the DNS server of the benchmark is in the figures.
//
// The mail is that of the corpora of development (CORPORA names their
// directory), mixed so that a message has 36 KB on average: see sample. The
// filter was taught 400 of its kind before.
//
// The benchmarks run on Linux, as any user; root's child runs as mail_uid.
package load
