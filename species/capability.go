package species

// CapabilityError is the cause of an error if something is refused for lack of a capability. errors.As finds it.
type CapabilityError struct {
	Capability string // such as "CAP_SYS_ADMIN"
	// Of says whose user namespace it is in which the capability is lacking: NaNS, the caller's own; CLONE_NEWUSER, the
	// target's, which is to be joined or in which the process is; another type, the one that owns that namespace.
	Of NamespaceType
	// User is that user namespace; NoneID if the kernel does not show it to the caller.
	User NamespaceID
}

// Error returns all fields as a sentence.
func (e *CapabilityError) Error() string {
	text := e.Capability + " is lacking in the "
	switch {
	case e.Of == NaNS:
		return text + "caller's own user namespace"
	case e.Of == CLONE_NEWUSER:
		return text + "user namespace"
	case e.User == NoneID:
		return text + "user namespace that owns the " + e.Of.Name() + " namespace, which is not the caller's own, nor below it"
	}
	return text + "user namespace that owns the " + e.Of.Name() + " namespace, " + e.User.LinkText(CLONE_NEWUSER)
}
