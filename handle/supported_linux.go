package handle

import "github.com/nsops/nsops/internal/sys"

// notSupported names the feature and its first kernel, if that is what the error is about.
func notSupported(err error, feature sys.Feature) error {
	if sys.IsMissing(err) {
		return feature.Missing(err)
	}
	return err
}
