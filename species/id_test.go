package species

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIDwithType(t *testing.T) {
	for _, tt := range types {
		id, typ := IDwithType(tt.name + ":[4026531905]")
		require.Equal(t, NamespaceID{Ino: 4026531905}, id)
		require.Equal(t, tt.t, typ)
	}
	id, typ := IDwithType("net:[18446744073709551615]")
	require.Equal(t, NamespaceIDFromInode(math.MaxUint64), id)
	require.Equal(t, CLONE_NEWNET, typ)
}

func TestIDwithTypeOfNonsense(t *testing.T) {
	for _, text := range []string{
		"", ":", "net", "net:", "net:[", "net:]", "net:[]", "net:[1", "net:1]", "net[1]", "net:1", ":[1]", "[1]", "1",
		"4026531905", "4:4026531905", "foo:[1]", "NET:[1]", "n:[1]", "socket:[1]", "anon_inode:[pidfd]", "pid_for_children:[1]",
		"CLONE_NEWNET:[1]", "net::[1]", "net:[[1]]", "net:net:[1]", "net:[1]]", "net:[1] ", " net:[1]", "net:[1]\n", "net: [1]",
		"net:[ 1]", "net:[1 ]", "net:[+1]", "net:[-1]", "net:[0]", "net:[01]", "net:[00]", "net:[0x1]", "net:[1_0]", "net:[1.0]",
		"net:[1e3]", "net:[123abc]", "net:[١]", "net:[1\x00]", "net:[18446744073709551616]", "net:[1] (deleted)", "/run/netns/net:[1]",
	} {
		id, typ := IDwithType(text)
		require.Equal(t, NoneID, id, text)
		require.Equal(t, NaNS, typ, text)
	}
}

func TestLinkText(t *testing.T) {
	require.Equal(t, "net:[4026531905]", NamespaceID{Dev: 4, Ino: 4026531905}.LinkText(CLONE_NEWNET))
	require.Empty(t, NoneID.LinkText(CLONE_NEWNET))
	require.Empty(t, NamespaceID{Dev: 4}.LinkText(CLONE_NEWNET))
	require.Empty(t, NamespaceID{Ino: 1}.LinkText(NaNS))
	require.Empty(t, NamespaceID{Ino: 1}.LinkText(CLONE_NEWNET|CLONE_NEWNS))
}

func TestIDsCompare(t *testing.T) {
	id := NamespaceIDFromInode(4026531905)
	complete := id.WithDev(4)
	require.True(t, complete == NamespaceID{Dev: 4, Ino: 4026531905})
	require.True(t, complete == complete.WithDev(4))
	require.False(t, complete == id, "an uncompleted ID equals no completed one")
	require.False(t, complete == id.WithDev(5))
	require.False(t, complete == NoneID)
}

func TestNoneID(t *testing.T) {
	require.Equal(t, NamespaceID{}, NoneID)
	require.Equal(t, NoneID, NamespaceIDFromInode(0))
	require.Equal(t, NoneID, NoneID.WithDev(4))
	require.Equal(t, NoneID, NamespaceID{Dev: 3}.WithDev(4))
	require.Equal(t, "NoneID", NoneID.String())
}

var idShapes = []struct {
	id         NamespaceID
	text, json string
}{
	{NoneID, "0:0", `{"dev":0,"ino":0}`},
	{NamespaceID{Ino: 4026531833}, "0:4026531833", `{"dev":0,"ino":4026531833}`},
	{NamespaceID{Dev: 4, Ino: 4026531833}, "4:4026531833", `{"dev":4,"ino":4026531833}`},
	{NamespaceID{Dev: 1<<53 + 1, Ino: math.MaxUint64}, "9007199254740993:18446744073709551615", `{"dev":9007199254740993,"ino":18446744073709551615}`},
}

func TestIDTextAndJSONRoundTrip(t *testing.T) {
	for _, tt := range idShapes {
		text, err := tt.id.MarshalText()
		require.NoError(t, err)
		require.Equal(t, tt.text, string(text))
		var fromText NamespaceID
		require.NoError(t, fromText.UnmarshalText(text))
		require.Equal(t, tt.id, fromText)

		text, err = json.Marshal(tt.id)
		require.NoError(t, err)
		require.Equal(t, tt.json, string(text))
		var fromJSON NamespaceID
		require.NoError(t, json.Unmarshal(text, &fromJSON))
		require.Equal(t, tt.id, fromJSON)
	}
	require.Equal(t, "4:4026531833", idShapes[2].id.String())
}

func TestIDIsAKeyOfAJSONObject(t *testing.T) {
	in := map[NamespaceID]NamespaceType{{Dev: 4, Ino: 1}: CLONE_NEWNET}
	text, err := json.Marshal(in)
	require.NoError(t, err)
	require.Equal(t, `{"4:1":"net"}`, string(text))
	var out map[NamespaceID]NamespaceType
	require.NoError(t, json.Unmarshal(text, &out))
	require.Equal(t, in, out)
}

func TestIDTextErrors(t *testing.T) {
	for _, bad := range []string{
		"", ":", "4", "4:", ":4", "4:4:4", "04:4", "4:04", "+4:4", "4:-4", " 4:4", "4:4 ", "0x4:4", "NoneID", "net:[1]", "4,4", "4:18446744073709551616",
	} {
		id := NamespaceID{Dev: 1, Ino: 1}
		requireError(t, id.UnmarshalText([]byte(bad)), "parse ID", bad)
		require.Equal(t, NamespaceID{Dev: 1, Ino: 1}, id, "receiver stays as it was")
	}
}

func TestIDJSONErrors(t *testing.T) {
	for _, bad := range []string{
		`{}`, `{"dev":4}`, `{"ino":4}`, `{"dev":null,"ino":4}`, `[4,4]`, `"4:4`, `4`, `true`, `{"dev":-1,"ino":1}`, `{"dev":4,"ino":1.5}`,
		`{"dev":4,"ino":"1"}`, `{"dev":4,"ino":18446744073709551616}`, `{"dev":4,"ino":1e3}`, `{"dev":4,`, ``,
	} {
		id := NamespaceID{Dev: 1, Ino: 1}
		requireError(t, id.UnmarshalJSON([]byte(bad)), "parse ID", bad)
		require.Equal(t, NamespaceID{Dev: 1, Ino: 1}, id, "receiver stays as it was")
	}
	var id NamespaceID
	requireError(t, json.Unmarshal([]byte(`"net:[1]"`), &id), "parse ID", "net:[1]")
	var typeError *json.UnmarshalTypeError
	require.True(t, errors.As(json.Unmarshal([]byte(`{"dev":-1,"ino":1}`), &id), &typeError), "the cause survives")
}

func TestIDJSONLeniency(t *testing.T) {
	id := NamespaceID{Dev: 1, Ino: 1}
	require.NoError(t, json.Unmarshal([]byte(`null`), &id))
	require.Equal(t, NamespaceID{Dev: 1, Ino: 1}, id)
	require.NoError(t, json.Unmarshal([]byte(` { "id": 7, "ino": 2, "dev": 4 } `), &id))
	require.Equal(t, NamespaceID{Dev: 4, Ino: 2}, id)
	require.NoError(t, json.Unmarshal([]byte(`"5:3"`), &id))
	require.Equal(t, NamespaceID{Dev: 5, Ino: 3}, id)
}

func FuzzIDwithType(f *testing.F) {
	for _, seed := range []string{"net:[4026531905]", "cgroup:[1]", "net:[0]", "net:[01]", "foo:[1]", "net:[18446744073709551616]", "socket:[1]", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, typ := IDwithType(text)
		require.Equal(t, id == NoneID, typ == NaNS, "both or none")
		require.Zero(t, id.Dev)
		if typ != NaNS {
			require.Equal(t, text, id.LinkText(typ), "only one text per ID and type")
		}
	})
}

func FuzzLinkText(f *testing.F) {
	f.Add(uint64(4), uint64(4026531905), uint64(CLONE_NEWNET))
	f.Fuzz(func(t *testing.T, dev, ino, typ uint64) {
		text := NamespaceID{dev, ino}.LinkText(NamespaceType(typ))
		id, got := IDwithType(text)
		if text == "" {
			require.Equal(t, NaNS, got)
			return
		}
		require.Equal(t, NamespaceIDFromInode(ino), id)
		require.Equal(t, NamespaceType(typ), got)
	})
}

func FuzzNamespaceIDText(f *testing.F) {
	for _, tt := range idShapes {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var id NamespaceID
		if err := id.UnmarshalText([]byte(text)); err != nil {
			requireError(t, err, "parse ID", text)
			require.Equal(t, NoneID, id)
			return
		}
		out, err := id.MarshalText()
		require.NoError(t, err)
		require.Equal(t, text, string(out), "only one text per ID")
	})
}

func FuzzNamespaceIDJSON(f *testing.F) {
	for _, tt := range idShapes {
		f.Add([]byte(tt.json))
		f.Add([]byte(`"` + tt.text + `"`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var id, again NamespaceID
		if err := id.UnmarshalJSON(text); err != nil {
			require.IsType(t, &Error{}, err)
			require.Equal(t, NoneID, id)
			return
		}
		out, err := json.Marshal(id)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(out, &again))
		require.Equal(t, id, again)
	})
}

// benchTexts are links that a discovery reads: one in /proc/PID/ns, and
// descriptors that are no namespaces.
var benchTexts = map[string]string{
	"namespace": "cgroup:[4026531835]",
	"socket":    "socket:[4026531835]",
	"path":      "/dev/null",
}

func BenchmarkIDwithType(b *testing.B) {
	for name, text := range benchTexts {
		buf := []byte(text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				IDwithType(string(buf))
			}
		})
	}
}

func TestIDwithTypeDoesNotAllocate(t *testing.T) {
	for name, text := range benchTexts {
		buf := []byte(text)
		require.Zero(t, testing.AllocsPerRun(100, func() { IDwithType(string(buf)) }), name)
	}
}
