package handle

import "time"

// SetPinPatience changes how long Pin waits for a lock until the function returned is called.
func SetPinPatience(d time.Duration) (restore func()) {
	before := pinPatience
	pinPatience = d
	return func() { pinPatience = before }
}
