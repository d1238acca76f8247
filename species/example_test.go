package species_test

import (
	"encoding/json"
	"fmt"

	"github.com/nsops/nsops/species"
)

func ExampleNamespaceType() {
	t := species.CLONE_NEWNS
	fmt.Println(t, t.Name(), t == species.NameToType("mnt"))
	mask := species.CLONE_NEWUTS | species.CLONE_NEWNET
	fmt.Printf("setns(pidfd, %#x) joins %v\n", int(mask), mask)
	// Output:
	// CLONE_NEWNS mnt true
	// setns(pidfd, 0x44000000) joins CLONE_NEWUTS|CLONE_NEWNET
}

func ExampleParseSet() {
	s, err := species.ParseSet("net,mnt")
	fmt.Println(s, s.Has(species.CLONE_NEWNET), err)
	_, err = species.ParseSet("net,mount")
	fmt.Println(err)
	// Output:
	// mnt,net true <nil>
	// parse set "mount": not one of mnt,cgroup,uts,ipc,user,pid,net,time; or all
}

func ExampleSet_All() {
	for t := range species.Set(species.AllNS).Without(species.CLONE_NEWUSER, species.CLONE_NEWTIME).All() {
		fmt.Print(t.Name(), " ")
	}
	// Output: mnt cgroup uts ipc pid net
}

func ExampleIDwithType() {
	id, t := species.IDwithType("net:[4026531905]")
	fmt.Println(id, t.Name())
	id, t = species.IDwithType("socket:[4711]")
	fmt.Println(id, t)
	// Output:
	// 0:4026531905 net
	// NoneID NaNS
}

// An ID from text lacks the device number. It comes from the file of any
// namespace that the caller has at hand; here it is 4.
func ExampleNamespaceID_WithDev() {
	id, _ := species.IDwithType("net:[4026531905]")
	seen := species.NamespaceID{Dev: 4, Ino: 4026531905}
	fmt.Println(id == seen, id.WithDev(seen.Dev) == seen)
	// Output: false true
}

func ExampleNamespaceID_MarshalJSON() {
	text, err := json.Marshal(map[string]any{
		"id": species.NamespaceID{Dev: 4, Ino: 4026531833}, "type": species.CLONE_NEWNET,
	})
	fmt.Println(string(text), err)
	// Output: {"id":{"dev":4,"ino":4026531833},"type":"net"} <nil>
}

func ExampleInitialInode() {
	id, t := species.IDwithType("user:[4026531837]")
	fmt.Println(id.Ino == species.InitialInode(t), species.IsInitialInode(id.Ino))
	// Output: true true
}
