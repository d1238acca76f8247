package species

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSet(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Set
		out  string
	}{
		{"", 0, ""},
		{"net", Set(CLONE_NEWNET), "net"},
		{"net,mnt", Set(CLONE_NEWNS | CLONE_NEWNET), "mnt,net"},
		{"net,net", Set(CLONE_NEWNET), "net"},
		{"all", Set(AllNS), "mnt,cgroup,uts,ipc,user,pid,net,time"},
		{"time,all", Set(AllNS), "mnt,cgroup,uts,ipc,user,pid,net,time"},
		{"time,net,pid,user,ipc,uts,cgroup,mnt", Set(AllNS), "mnt,cgroup,uts,ipc,user,pid,net,time"},
	} {
		got, err := ParseSet(tt.text)
		require.NoError(t, err, tt.text)
		require.Equal(t, tt.want, got, tt.text)
		require.Equal(t, tt.out, got.String())
	}
}

func TestParseSetNamesTheBadWordAndTheValidOnes(t *testing.T) {
	for _, tt := range []struct{ text, word string }{
		{"foo", "foo"},
		{"net,nte,foo", "nte"},
		{"net, mnt", " mnt"},
		{"net,", ""},
		{",", ""},
		{"net,,mnt", ""},
		{"net;mnt", "net;mnt"},
		{"ALL", "ALL"},
		{"CLONE_NEWNET", "CLONE_NEWNET"},
		{"0x1", "0x1"},
	} {
		got, err := ParseSet(tt.text)
		requireError(t, err, "parse set", tt.word)
		require.ErrorContains(t, err, "not one of mnt,cgroup,uts,ipc,user,pid,net,time; or all")
		require.Zero(t, got)
	}
}

func TestSetAlgebra(t *testing.T) {
	var s Set
	require.Zero(t, s.Len())
	s = s.With(CLONE_NEWNET, CLONE_NEWNS|CLONE_NEWUTS).With()
	require.Equal(t, Set(CLONE_NEWNS|CLONE_NEWUTS|CLONE_NEWNET), s)
	require.Equal(t, 3, s.Len())
	require.True(t, s.Has(CLONE_NEWNET))
	require.True(t, s.Has(CLONE_NEWNET|CLONE_NEWUTS))
	require.False(t, s.Has(CLONE_NEWPID))
	require.False(t, s.Has(CLONE_NEWNET|CLONE_NEWPID))
	require.False(t, s.Has(NaNS))
	require.Equal(t, Set(CLONE_NEWUTS), s.Without(CLONE_NEWNET, CLONE_NEWNS|CLONE_NEWPID))
	require.Equal(t, s, s.Without(NaNS))
	require.Equal(t, 8, Set(AllNS).Len())
}

func TestSetIteratesInListingOrder(t *testing.T) {
	var want []NamespaceType
	for _, tt := range types {
		want = append(want, tt.t)
	}
	require.Equal(t, want, slices.Collect(Set(AllNS).All()))
	require.Empty(t, slices.Collect(Set(0).All()))
	for got := range Set(CLONE_NEWTIME | CLONE_NEWUSER).All() {
		require.Equal(t, CLONE_NEWUSER, got)
		break
	}
}

func TestSetTextAndJSONRoundTripOfAllSets(t *testing.T) {
	for n := range 1 << len(types) {
		var s Set
		for i, tt := range types {
			if n&(1<<i) != 0 {
				s = s.With(tt.t)
			}
		}
		text, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, `"`+s.String()+`"`, string(text))
		var got Set
		require.NoError(t, json.Unmarshal(text, &got))
		require.Equal(t, s, got)
	}
}

func TestSetWithForeignBits(t *testing.T) {
	s := Set(CLONE_NEWNET | 0x101)
	require.Equal(t, 1, s.Len())
	require.Equal(t, []NamespaceType{CLONE_NEWNET}, slices.Collect(s.All()))
	require.Equal(t, "net,0x101", s.String())
	_, err := s.MarshalText()
	requireError(t, err, "marshal set", "net,0x101")
	require.Equal(t, NamespaceType(s), err.(*Error).Type)
}

func TestSetUnmarshalErrorLeavesTheReceiver(t *testing.T) {
	s := Set(CLONE_NEWNET)
	requireError(t, json.Unmarshal([]byte(`"mnt,foo"`), &s), "parse set", "foo")
	require.Equal(t, Set(CLONE_NEWNET), s)
}

func FuzzParseSet(f *testing.F) {
	for _, seed := range []string{"", "all", "net,mnt", "net,", " net", "mnt,cgroup,uts,ipc,user,pid,net,time"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSet(text)
		if err != nil {
			require.Zero(t, s)
			require.Contains(t, strings.Split(text, ","), err.(*Error).Ref)
			return
		}
		require.True(t, s == 0 || Set(AllNS).Has(NamespaceType(s)))
		require.Equal(t, text == "", s.Len() == 0)
		again, err := ParseSet(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

func FuzzSetOfAnyMask(f *testing.F) {
	f.Add(uint64(0))
	f.Add(uint64(AllNS))
	f.Add(uint64(CLONE_NEWNET | 1))
	f.Fuzz(func(t *testing.T, mask uint64) {
		s := Set(mask)
		members := Set(0).With(slices.Collect(s.All())...)
		require.Equal(t, s.Len(), members.Len())
		text, err := s.MarshalText()
		if err != nil {
			require.NotEqual(t, s, members)
			return
		}
		got, err := ParseSet(string(text))
		require.NoError(t, err)
		require.Equal(t, s, got)
		require.Equal(t, s, members)
	})
}
