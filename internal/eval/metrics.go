package eval

import (
	"math"
	"sort"
)

// scored is one message with its score.
type scored struct {
	spam  bool
	score float64
}

// lossesAUC returns 100·(1−AUC): the percentage of pairs of a spam and a ham
// in which the ham has the higher score, a tie counting half. It is 0 where a
// class is missing.
func lossesAUC(all []scored) float64 {
	s := append([]scored(nil), all...)
	sort.Slice(s, func(i, j int) bool { return s[i].score < s[j].score })
	var wrong, spamBelow, spam, ham float64
	for i := 0; i < len(s); {
		var sp, hm float64
		v := s[i].score
		for ; i < len(s) && s[i].score == v; i++ {
			if s[i].spam {
				sp++
			} else {
				hm++
			}
		}
		wrong += hm*spamBelow + hm*sp/2
		spamBelow += sp
		spam, ham = spam+sp, ham+hm
	}
	if spam == 0 || ham == 0 {
		return 0
	}
	return 100 * wrong / (spam * ham)
}

// missed returns the percentage of spam that is missed at the lowest threshold
// at which no more than lost percent of ham are above or on it.
func missed(all []scored, lost float64) float64 {
	var ham []float64
	spam := 0
	for _, s := range all {
		if s.spam {
			spam++
		} else {
			ham = append(ham, s.score)
		}
	}
	if spam == 0 {
		return 0
	}
	sort.Sort(sort.Reverse(sort.Float64Slice(ham)))
	// The highest ham that may not be lost: spam has to be above it.
	bar := math.Inf(-1)
	if k := int(lost*float64(len(ham))/100 + 1e-9); k < len(ham) {
		bar = ham[k]
	}
	n := 0
	for _, s := range all {
		if s.spam && s.score <= bar {
			n++
		}
	}
	return 100 * float64(n) / float64(spam)
}

// Rank measures scores that came from elsewhere, a message each: of the result
// the counts, OneMinusAUC and Missed are set.
func Rank(spam []bool, score []float64) *Result {
	r := newResult()
	for i, s := range spam {
		r.scores = append(r.scores, scored{s, score[i]})
		r.Spam += number(s)
		r.Ham += number(!s)
	}
	r.rank()
	return r
}
