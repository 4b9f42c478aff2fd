// Package eval measures the filter on labelled mail: it replays an index of
// messages in the order in which they arrived, scores each as a user would have
// got it then, tells the label afterwards, and says how well spam and ham were
// told apart.
//
// An index is a text file with a message a line: "label<TAB>path…" below a head
// line that names the columns (a column epoch is the time of arrival in seconds
// of Unix), or "spam|ham path" as the TREC spam track writes it. Paths are
// relative to the index and may lead out of its directory by "..", as TREC's
// do; an absolute path, and what is no regular file, is refused. Two Maildir
// folders make an index too, in the order of arrival.
//
// The figure that counts is (1−AUC) %: of all pairs of one spam and one ham, the
// percentage whose scores are the wrong way round, a tie counting half. Missed
// spam at 0.1 % lost ham is how much spam stays below the threshold that loses
// one ham in a thousand.
//
// Nothing is asked of the network, nothing is known before the first message,
// and equal runs give equal figures, CPU time aside.
//
// Limits: corpora hold no SMTP session, so rules about client, HELO and
// envelope do not take part. Of a message longer than 4 MB the first 4 MB are
// read, as the milter does by default.
package eval
