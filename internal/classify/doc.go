// Package classify is the learned filter: what a message looks like, as sets of
// features, and a model that learns from labelled ones which features come with
// spam.
//
// A message is looked at in three ways, each a set of hashed features:
//
//   - text: every run of four bytes in the first 3,000 bytes of subject and
//     decoded text; where there is hardly any text, of the raw body;
//   - head: the names of the header fields in their order, and the words of
//     their values with their neighbours;
//   - words: the words of the decoded text with their neighbours, hosts and
//     paths of links, HTML tags with their attributes, the shape of the MIME
//     tree.
//
// Each view has a linear model of its own: a hashed logistic regression over
// the set, z = Σw/√(n+1), which learns from a message by one gradient step, and
// only while z is not yet clearly on the right side. The views make different
// mistakes, so their sum makes far fewer than any of them (docs/accuracy.md
// has the figures). The sum, scaled to odds by a measured constant and
// corrected where one class was learned far more often than the other, is the
// logit.
//
// Extract does not see line ends (CRLF and LF are the same to it), the fields
// in which filters tell what they found, ours among them, nor signatures: what
// is delivered gives the features that were scored.
//
// Limits: what stands behind the first 3,000 bytes of text is seen by its words
// only, and behind 1,500 words not at all. Attachments count by name and type.
// The hash is no secret: who knows it can make features that collide, which
// costs accuracy for his own messages and nothing else. The model has no
// memory of when it learned: old mail fades only as new mail contradicts it.
package classify
