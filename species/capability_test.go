package species_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/species"
)

func TestCapabilityErrorSaysWhere(t *testing.T) {
	id := species.NamespaceIDFromInode(4026531837)
	for want, e := range map[string]species.CapabilityError{
		"caller's own user namespace": {Of: species.NaNS, User: id},
		"user namespace":              {Of: species.CLONE_NEWUSER},
		"user namespace that owns the net namespace, user:[4026531837]":                           {Of: species.CLONE_NEWNET, User: id},
		"user namespace that owns the mnt namespace, which is not the caller's own, nor below it": {Of: species.CLONE_NEWNS},
	} {
		e.Capability = "CAP_SYS_ADMIN"
		require.EqualError(t, &e, "CAP_SYS_ADMIN is lacking in the "+want)
	}
}
