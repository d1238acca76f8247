package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/wire"
)

// word is a record as the model sees it.
type word byte

// The alphabet: all records that can be sent, honest and forged ones.
const (
	forked   word = 'f' // by our child
	stranger word = 's' // FORKED by another process
	joined   word = 'j'
	failed   word = 'x'
	ready    word = 'r'
	result   word = 'o'
	failure  word = 'e'
	request  word = 'c' // a caller's
	alphabet      = "fsjxroec"
)

func (w word) record() (r wire.Record, fromChild bool) {
	kinds := map[word]uint16{
		forked: wire.KindForked, stranger: wire.KindForked, joined: wire.KindJoined, failed: wire.KindFailed,
		ready: wire.KindReady, result: wire.KindResult, failure: wire.KindResult, request: wire.KindCall,
	}
	r.Kind = kinds[w]
	switch w {
	case forked, stranger:
		r.Pid = 1
	case failed:
		r.Stage = wire.StageJoin
	}
	if w == failure {
		r.Stage = wire.OutcomeFailure
	}
	return r, w != stranger
}

// acceptedOf returns the records of a talk that are accepted.
func acceptedOf(talk string, forks bool) (accepted string, turns wire.Turns) {
	turns.Forks = forks
	for _, w := range []byte(talk) {
		if turns.Next(word(w).record()) == nil {
			accepted += string(w)
		}
	}
	return accepted, turns
}

// honest are all talks of workers that do what they should, FORKED left out.
var honest = map[string]bool{"": true, "x": true, "j": true, "je": true, "jr": true, "jro": true, "jre": true}

// check compares with the model. The accepted records must be the beginning of an honest talk, with at most one FORKED
// anywhere in it: its sender and the worker run concurrently.
func check(t *testing.T, talk string, forks bool) {
	t.Helper()
	accepted, turns := acceptedOf(talk, forks)
	rest, named := "", 0
	for _, w := range []byte(accepted) {
		if word(w) == forked {
			named++
		} else {
			rest += string(w)
		}
	}
	require.True(t, honest[rest], "%q of %q", accepted, talk)
	require.LessOrEqual(t, named, 1, talk)
	require.True(t, forks || named == 0, talk)
	require.Equal(t, len(rest) >= 2 && rest[1] == 'r', turns.Ready(), talk)
	require.Equal(t, rest == "x" || len(rest) > 1 && rest != "jr", turns.Done(), talk)
}

func TestTurns(t *testing.T) {
	var all func(talk string)
	all = func(talk string) {
		check(t, talk, true)
		check(t, talk, false)
		if len(talk) < 5 {
			for _, w := range alphabet {
				all(talk + string(w))
			}
		}
	}
	all("")
}

func TestHonestTalksAreAccepted(t *testing.T) {
	for talk := range honest {
		for i := range len(talk) + 1 {
			accepted, _ := acceptedOf(talk, false)
			require.Equal(t, talk, accepted)
			whole := talk[:i] + string(forked) + talk[i:]
			accepted, _ = acceptedOf(whole, true)
			require.Equal(t, whole, accepted)
		}
	}
}

func FuzzTurns(f *testing.F) {
	f.Add("fjro", true)
	f.Add("jrx", false)
	f.Fuzz(func(t *testing.T, talk string, forks bool) {
		known := ""
		for _, w := range talk {
			known += string(alphabet[int(w)%len(alphabet)])
		}
		check(t, known, forks)
	})
}
