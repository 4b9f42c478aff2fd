package main

import (
	"regexp"
	"strings"
	"time"
)

// module is the path of this module: packages are named in full, so that the
// command works from every directory of it.
const module = "github.com/gatepost/gatepost/"

// work is one line of the table: a benchmark, what it is held against in the
// same run, and the budget of docs/benchmarks.md.
type work struct {
	Name    string
	Package string
	// Bench and Null are whole names, with their sub-benchmarks. Null is empty
	// where nothing bare does the same.
	Bench, Null string
	// NullName says what Null does.
	NullName string
	// Least is the least rate, in parts of Null's; 0 is no budget.
	Least float64
	// Most is the longest time of one operation; 0 is no budget.
	Most time.Duration

	// Unit names the figure that counts instead of the time: one of the
	// benchmark's own, or MB/s. Ratio and Least are of it then, too; it has to be
	// one of which less is better where there is a Null.
	Unit string
	// MostOf and LeastOf bound it; 0 is no budget.
	MostOf, LeastOf float64
}

// works is the whole table, in its order. Works of one package stand together:
// they share a run.
var works = []work{
	{Name: "milter, null message", Package: "milter", Bench: "BenchmarkMilterNull",
		Null: "BenchmarkMilterBareServer/null", NullName: "the same session, accepted unseen"},
	{Name: "milter, message of 36 KB", Package: "milter", Bench: "BenchmarkMilter36KB",
		Null: "BenchmarkMilterBareServer/36KB", NullName: "the same session, accepted unseen", Most: 800 * time.Microsecond},
	{Name: "milter, 36 KB, SPF, DKIM and DMARC alone", Package: "milter", Bench: "BenchmarkMilter36KBAuth/alone",
		Null: "BenchmarkMilterBareServer/36KB", NullName: "the same session, accepted unseen"},
	{Name: "milter, 36 KB, rules and learned filter", Package: "milter", Bench: "BenchmarkMilter36KBLearned",
		Null: "BenchmarkMilterBareServer/36KB", NullName: "the same session, accepted unseen"},
	{Name: "milter, 20 KB, SPF, DKIM and DMARC alone: CPU", Package: "milter", Bench: "BenchmarkMilterAuthCPU/20KB", Unit: "cpu-µs/msg", MostOf: 400},
	{Name: "offline scan of mixed mail of 36 KB, learned filter and rules: CPU", Package: "internal/e2e/load", Bench: "BenchmarkOffline", Unit: "cpu-µs/msg", MostOf: 800},
	{Name: "serve, mixed mail of 36 KB, all that needs no list: CPU", Package: "internal/e2e/load", Bench: "BenchmarkMixed", Unit: "cpu-µs/msg", MostOf: 800},
	{Name: "serve, 36 KB, SPF, DKIM, DMARC, 40 questions to lists: CPU", Package: "internal/e2e/load", Bench: "BenchmarkLists", Unit: "cpu-µs/msg", MostOf: 2000},
	{Name: "serve, the same, nothing cached, DNS of 20 ms: median", Package: "internal/e2e/load", Bench: "BenchmarkSlowDNS", Unit: "ms-p50", MostOf: 50},
	{Name: "serve, 32 sessions of mixed mail: memory", Package: "internal/e2e/load", Bench: "BenchmarkParallel", Unit: "MB-peak", MostOf: 100},
	{Name: "serve, 20 MB: memory", Package: "internal/e2e/load", Bench: "BenchmarkLong/20MB",
		Null: "BenchmarkLong/4MB", NullName: "the same with 4 MB", Unit: "MB-peak", Least: 0.9},
	{Name: "serve, 20 MB: CPU", Package: "internal/e2e/load", Bench: "BenchmarkLong/20MB",
		Null: "BenchmarkLong/4MB", NullName: "the same with 4 MB", Unit: "cpu-µs/msg", Least: 0.9},
	{Name: "serve, 20 MB, signed: CPU", Package: "internal/e2e/load", Bench: "BenchmarkLongSigned/20MB",
		Null: "BenchmarkLongSigned/4MB", NullName: "the same with 4 MB", Unit: "cpu-µs/msg"},
	{Name: "checks of a message of 20 MB", Package: "internal/e2e/load", Bench: "BenchmarkLongChecks/20MB",
		Null: "BenchmarkLongChecks/4MB", NullName: "the same with 4 MB", Least: 0.9},
	{Name: "features of a message of 4 KB", Package: "internal/classify", Bench: "BenchmarkExtract/4KB", Unit: "MB/s", LeastOf: 60},
	{Name: "DKIM canonicalisation, relaxed", Package: "internal/mailauth/dkim", Bench: "BenchmarkBody/text/relaxed", Unit: "MB/s", LeastOf: 600},
	{Name: "DKIM canonicalisation, relaxed, with SHA-256", Package: "internal/mailauth/dkim", Bench: "BenchmarkBody/text/relaxed/sha256", Unit: "MB/s"},
	{Name: "policy request, 16 connections", Package: "policyd", Bench: "BenchmarkPolicyRequest",
		Null: "BenchmarkPolicyBareServer", NullName: "empty server", Least: 0.5},
	{Name: "socketmap look-up, 16 connections", Package: "policyd", Bench: "BenchmarkSocketmap",
		Null: "BenchmarkSocketmapBareServer", NullName: "empty server"},
	{Name: "policy request, three limits on Redis, 16 connections", Package: "policyd", Bench: "BenchmarkPolicyRedis",
		Null: "BenchmarkRedisEvalsha", NullName: "redis-benchmark, the same script", Least: 0.5},
	{Name: "account look-up from cache", Package: "internal/account/mysql", Bench: "BenchmarkLookUpFromCache/serial", Most: time.Microsecond},
	{Name: "account look-up from MariaDB, our tables", Package: "internal/account/mysql", Bench: "BenchmarkLookUpFromMariaDB/own_schema",
		Unit: "x-select", MostOf: 1.2},
	{Name: "account look-up from MariaDB, a login in the guides' tables", Package: "internal/account/mysql",
		Bench: "BenchmarkLookUpFromMariaDB/guide", Unit: "x-select", MostOf: 1.2},
	{Name: "SASL PLAIN, known password, 16 connections", Package: "authd", Bench: "BenchmarkAuthPlain",
		Null: "BenchmarkAuthBareServer", NullName: "empty server", Least: 0.75},
	{Name: "SASL PLAIN, first logins, 16 connections", Package: "authd", Bench: "BenchmarkAuthFirst",
		Null: "BenchmarkAuthBareHash", NullName: "bare hash on every core", Least: 0.75},
	{Name: "auth_policy, 16 connections", Package: "authd/policy", Bench: "BenchmarkAllow",
		Null: "BenchmarkEmpty", NullName: "empty HTTP server", Least: 0.5},
	{Name: "guard, a wrong password", Package: "internal/guard", Bench: "BenchmarkEvent/wrong", Most: 2 * time.Microsecond},
	{Name: "guard, a right password", Package: "internal/guard", Bench: "BenchmarkEvent/right", Most: 2 * time.Microsecond},
	{Name: "LMTP, 4 KB, 8 connections", Package: "lmtpd", Bench: "BenchmarkLMTP4KB",
		Null: "BenchmarkBareWriter4KB", NullName: "bare writer with both fsyncs", Least: 0.9},
	{Name: "LMTP, 50 KB, 8 connections", Package: "lmtpd", Bench: "BenchmarkLMTP50KB",
		Null: "BenchmarkBareWriter50KB", NullName: "bare writer with both fsyncs", Least: 0.9},
	{Name: "LMTP, 1 MB, 8 connections", Package: "lmtpd", Bench: "BenchmarkLMTP1MB",
		Null: "BenchmarkBareWriter1MB", NullName: "bare writer with both fsyncs", Least: 0.9},
	{Name: "LMTP, 1 MB to 20 recipients", Package: "lmtpd", Bench: "BenchmarkLMTP1MBTo20",
		Null: "BenchmarkLMTP1MBTo1", NullName: "to one recipient", Least: 1 / 1.3},
	{Name: "LMTP, 50 connections with 25 MB each", Package: "lmtpd", Bench: "BenchmarkLMTP50x25MB", Unit: "MB-added", MostOf: 40},
	{Name: "Sieve, 4 KB through 50 rules", Package: "lmtpd/filter", Bench: "BenchmarkFilter50Rules/4KB", Most: 60 * time.Microsecond},
	{Name: "Sieve, 36 KB through 50 rules", Package: "lmtpd/filter", Bench: "BenchmarkFilter50Rules/36KB"},
	{Name: "Sieve, scripts parsed", Package: "internal/sieve", Bench: "BenchmarkParse", Unit: "MB/s", LeastOf: 20},
	{Name: "DKIM sign, RSA-2048, 4 KB", Package: "internal/keys", Bench: "BenchmarkSign/4KB/1-rsa",
		Null: "BenchmarkRSA", NullName: "bare RSA operation", Least: 1 / 1.25},
	{Name: "DKIM verify, RSA-2048, 20 KB", Package: "internal/mailauth", Bench: "BenchmarkVerify20KB/rsa",
		Most: 150 * time.Microsecond},
	{Name: "SPF from cache", Package: "internal/mailauth", Bench: "BenchmarkSPFCached", Most: 30 * time.Microsecond},
	{Name: "DMARC from cache", Package: "internal/mailauth", Bench: "BenchmarkDMARCCached", Most: 30 * time.Microsecond},
}

// benches are the benchmarks that w needs.
func (w work) benches() []string {
	if w.Null == "" {
		return []string{w.Bench}
	}
	return []string{w.Bench, w.Null}
}

// pattern returns the -bench argument that runs exactly the named benchmarks.
// Each level of a name is a pattern of its own, and "|" outside of them divides
// whole names.
func pattern(names []string) string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			continue
		}
		seen[n] = true
		levels := strings.Split(n, "/")
		for i, l := range levels {
			levels[i] = "^" + regexp.QuoteMeta(l) + "$"
		}
		out = append(out, strings.Join(levels, "/"))
	}
	return strings.Join(out, "|")
}
