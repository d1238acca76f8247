//go:build !linux

package handle

// The functions that package netns has. On this system all of them return ErrNotImplemented, and no handle is open.

func Setns(NsHandle, int) error                { return ErrNotImplemented }
func Set(NsHandle) error                       { return ErrNotImplemented }
func New() (NsHandle, error)                   { return None(), ErrNotImplemented }
func NewNamed(string) (NsHandle, error)        { return None(), ErrNotImplemented }
func DeleteNamed(string) error                 { return ErrNotImplemented }
func List() ([]string, error)                  { return nil, ErrNotImplemented }
func Get() (NsHandle, error)                   { return None(), ErrNotImplemented }
func GetFromPath(string) (NsHandle, error)     { return None(), ErrNotImplemented }
func GetFromName(string) (NsHandle, error)     { return None(), ErrNotImplemented }
func GetFromPid(int) (NsHandle, error)         { return None(), ErrNotImplemented }
func GetFromThread(int, int) (NsHandle, error) { return None(), ErrNotImplemented }
func GetFromDocker(string) (NsHandle, error)   { return None(), ErrNotImplemented }

func (ns NsHandle) Equal(NsHandle) bool { return false }
func (ns NsHandle) String() string      { return "NS(none)" }
func (ns NsHandle) UniqueId() string    { return "NS(none)" }

// Close sets the handle to None.
func (ns *NsHandle) Close() error {
	*ns = None()
	return nil
}
