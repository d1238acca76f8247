package handle

import (
	"fmt"

	"github.com/nsops/nsops/internal/sys"
)

// notSupported names the feature and its first kernel, if that is what the error is about.
func notSupported(err error, feature, kernel string) error {
	if sys.IsMissing(err) {
		return fmt.Errorf("%w: %s takes Linux %s: %w", ErrNotSupported, feature, kernel, err)
	}
	return err
}
