package species

import "strconv"

// Error is every error that this package returns: which text or value could not be converted, and why.
type Error struct {
	Op   string        // what was tried, such as "parse type"
	Type NamespaceType // value that has no text, for "marshal type" and "marshal set"; else NaNS
	Ref  string        // the invalid word or value
	Err  error         // the cause, never nil
}

// Error returns operation, invalid word and cause: parse type "nte": not one of mnt,cgroup,uts,ipc,user,pid,net,time.
func (e *Error) Error() string { return e.Op + " " + strconv.Quote(e.Ref) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
