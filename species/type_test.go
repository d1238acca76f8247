package species

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table does not depend on that of the package.
var types = []struct {
	t              NamespaceType
	value          uint64
	name, constant string
}{
	{CLONE_NEWNS, 0x00020000, "mnt", "CLONE_NEWNS"},
	{CLONE_NEWCGROUP, 0x02000000, "cgroup", "CLONE_NEWCGROUP"},
	{CLONE_NEWUTS, 0x04000000, "uts", "CLONE_NEWUTS"},
	{CLONE_NEWIPC, 0x08000000, "ipc", "CLONE_NEWIPC"},
	{CLONE_NEWUSER, 0x10000000, "user", "CLONE_NEWUSER"},
	{CLONE_NEWPID, 0x20000000, "pid", "CLONE_NEWPID"},
	{CLONE_NEWNET, 0x40000000, "net", "CLONE_NEWNET"},
	{CLONE_NEWTIME, 0x00000080, "time", "CLONE_NEWTIME"},
}

// notTypes are values that are not a single type.
var notTypes = []NamespaceType{1, 0x100, 1 << 31, 1 << 63, CLONE_NEWNS | CLONE_NEWNET, CLONE_NEWNS | 1, AllNS, ^NaNS}

func TestTypeValuesAndNames(t *testing.T) {
	for _, tt := range types {
		require.Equal(t, tt.value, uint64(tt.t))
		require.Equal(t, tt.name, tt.t.Name())
		require.Equal(t, tt.constant, tt.t.String())
		require.Equal(t, tt.t, NameToType(tt.name))
	}
}

func TestAllNSIsEveryTypeAndFitsAnInt32(t *testing.T) {
	var mask NamespaceType
	for _, tt := range types {
		require.Zero(t, mask&tt.t)
		mask |= tt.t
	}
	require.Equal(t, mask, AllNS)
	require.Equal(t, NamespaceType(0x7e020080), AllNS)
	require.Equal(t, AllNS, NamespaceType(int32(AllNS)))
}

func TestTypeStringOfTheRest(t *testing.T) {
	for _, tt := range []struct {
		t    NamespaceType
		want string
	}{
		{NaNS, "NaNS"},
		{1, "0x1"},
		{1 << 63, "0x8000000000000000"},
		{CLONE_NEWTIME | CLONE_NEWNET | CLONE_NEWNS, "CLONE_NEWNS|CLONE_NEWNET|CLONE_NEWTIME"},
		{CLONE_NEWNS | 3, "CLONE_NEWNS|0x3"},
	} {
		require.Equal(t, tt.want, tt.t.String())
		require.Equal(t, tt.want, fmt.Sprint(tt.t))
	}
}

func TestWhatIsNoSingleTypeHasNoName(t *testing.T) {
	require.Empty(t, NaNS.Name())
	for _, bad := range notTypes {
		require.Empty(t, bad.Name(), bad)
	}
}

func TestNameToTypeIsExact(t *testing.T) {
	for _, name := range []string{"", "foo", "Net", "net ", " net", "ne", "nets", "mount", "all", "pid_for_children", "CLONE_NEWNET"} {
		require.Equal(t, NaNS, NameToType(name), name)
	}
}

func TestTypeTextRoundTrip(t *testing.T) {
	for _, tt := range types {
		text, err := tt.t.MarshalText()
		require.NoError(t, err)
		require.Equal(t, tt.name, string(text))
		var got NamespaceType
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, tt.t, got)
	}
}

func TestTypeJSONRoundTrip(t *testing.T) {
	in := map[NamespaceType][]NamespaceType{CLONE_NEWNET: {CLONE_NEWNS, NaNS}, CLONE_NEWPID: nil}
	text, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"net":["mnt",""],"pid":null}`, string(text))
	var out map[NamespaceType][]NamespaceType
	require.NoError(t, json.Unmarshal(text, &out))
	require.Equal(t, in, out)
}

func TestMarshalOfAMaskAsTypeIsAnError(t *testing.T) {
	for _, bad := range notTypes {
		_, err := bad.MarshalText()
		requireError(t, err, "marshal type", bad.String())
		require.Equal(t, bad, err.(*Error).Type)
		_, err = json.Marshal(bad)
		requireError(t, err, "marshal type", bad.String())
	}
}

func TestUnmarshalOfUnknownTypeNamesIt(t *testing.T) {
	for _, bad := range []string{"foo", "NET", "CLONE_NEWNET", "net,mnt", "NaNS", "all", " "} {
		got := CLONE_NEWUTS
		err := got.UnmarshalText([]byte(bad))
		requireError(t, err, "parse type", bad)
		require.ErrorContains(t, err, "mnt,cgroup,uts,ipc,user,pid,net,time")
		require.Equal(t, CLONE_NEWUTS, got, "receiver stays as it was")
	}
	var got NamespaceType
	requireError(t, json.Unmarshal([]byte(`"foo"`), &got), "parse type", "foo")
	require.Error(t, json.Unmarshal([]byte(`131072`), &got), "a number is no type")
}

// requireError requires an *Error with that operation and invalid word, also
// under the wrapping of encoding/json.
func requireError(t *testing.T, err error, op, ref string) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, op, e.Op)
	require.Equal(t, ref, e.Ref)
	require.ErrorIs(t, err, e.Err)
	require.Equal(t, fmt.Sprintf("%s %q: %v", op, ref, e.Err), e.Error())
}

func FuzzTypeText(f *testing.F) {
	for _, seed := range []string{"", "net", "nets", "mnt,net"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got NamespaceType
		if err := got.UnmarshalText([]byte(text)); err != nil {
			requireError(t, err, "parse type", text)
			return
		}
		require.Equal(t, text, got.Name())
		require.Equal(t, got, NameToType(text))
	})
}
