// Package rule compiles and runs the rules that an admin writes: each is one
// condition in the language of expr-lang/expr over facts that the consumer
// names, and is true or not.
//
// Only a part of that language is let in: facts, texts, numbers, lists of
// constants, comparison, and/or/not, arithmetic of numbers, ?:, let, in,
// contains, startsWith, endsWith and matches with a constant RE2 pattern; over
// lists all, any, none, one, count, filter, map, sum and len; and the functions
// lower, domain_of, under, ip_in and in_map. What is not in that list, an
// unknown name, two types that do not go together, a bad pattern and a bad
// network are errors of Compile, with the place in the condition and a caret
// under it.
//
// A rule cannot run long: there are no ranges and no recursion, each step of a
// list and each byte that is looked for is counted, and a rule that has used up
// Budget ends with an error. The count does not depend on the clock, so the same
// facts always give the same answer. A rule that fails is no hit; its consumer
// shows that it failed, and Counts counts it.
//
//	type facts struct {
//		rule.Meter
//		Helo string `expr:"helo"`
//	}
//	set, err := rule.Compile[*facts]([]rule.Source{{Name: "BARE", When: `not (helo contains ".")`}}, rule.Options{})
//	hit, err := set.Eval(0, &facts{Helo: "user"})
//
// Limits: a text of the facts may hold what a stranger wrote and is as long as
// the consumer makes it; the budget counts it, so a consumer that hands in long
// ones lets rules fail sooner.
package rule
