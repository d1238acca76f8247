//go:build !linux

package handle

// Setns is not implemented on this system.
//
// Deprecated: as on Linux.
func Setns(NsHandle, int) error { return ErrNotImplemented }

// Set is not implemented on this system.
func Set(NsHandle) error { return ErrNotImplemented }

// New is not implemented on this system.
func New() (NsHandle, error) { return None(), ErrNotImplemented }

// NewNamed is not implemented on this system.
func NewNamed(string) (NsHandle, error) { return None(), ErrNotImplemented }

// DeleteNamed is not implemented on this system.
func DeleteNamed(string) error { return ErrNotImplemented }

// List is not implemented on this system.
func List() ([]string, error) { return nil, ErrNotImplemented }

// Get is not implemented on this system.
func Get() (NsHandle, error) { return None(), ErrNotImplemented }

// GetFromPath is not implemented on this system.
func GetFromPath(string) (NsHandle, error) { return None(), ErrNotImplemented }

// GetFromName is not implemented on this system.
func GetFromName(string) (NsHandle, error) { return None(), ErrNotImplemented }

// GetFromPid is not implemented on this system.
func GetFromPid(int) (NsHandle, error) { return None(), ErrNotImplemented }

// GetFromThread is not implemented on this system.
func GetFromThread(int, int) (NsHandle, error) { return None(), ErrNotImplemented }

// GetFromDocker is not implemented on this system.
func GetFromDocker(string) (NsHandle, error) { return None(), ErrNotImplemented }

// Equal is false on this system.
func (ns NsHandle) Equal(NsHandle) bool { return false }

// String is NS(none) on this system.
func (ns NsHandle) String() string { return "NS(none)" }

// UniqueId is NS(none) on this system.
func (ns NsHandle) UniqueId() string { return "NS(none)" }

// Close sets the handle to None.
func (ns *NsHandle) Close() error {
	*ns = None()
	return nil
}
