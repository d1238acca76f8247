package testutil

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBefore(t *testing.T) {
	for release, want := range map[string]bool{
		"6.18.44-fc-v669": false, "6.1-rc2": true, "5.10.0-28-amd64": true, "6.11": false, "6.10.99": true, "7.0": false, "odd": false,
	} {
		require.Equal(t, want, before(release, 6, 11), release)
	}
}

func TestSkipIsFatalInCI(t *testing.T) {
	for _, test := range []struct {
		ci, require     string
		failed, skipped bool
	}{{"", "", false, true}, {"false", "0", false, true}, {"true", "", true, false}, {"", "1", true, false}} {
		t.Setenv("CI", test.ci)
		t.Setenv("NSOPS_REQUIRE", test.require)
		r := &recorder{TB: t}
		Skip(r, "why not")
		require.Equal(t, []bool{test.failed, test.skipped}, []bool{r.failed, r.skipped}, test)
		r = &recorder{TB: t}
		NeedCommand(r, "true", "no-such-command")
		require.Equal(t, test.failed, r.failed)
		r = &recorder{TB: t}
		NeedKernel(r, 99, 0)
		require.Equal(t, []bool{false, true}, []bool{r.failed, r.skipped}, "it is skipped in CI, too")
	}
}

// recorder records how a test would end.
type recorder struct {
	testing.TB
	failed, skipped bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true }
func (r *recorder) Skip(...any)           { r.skipped = !r.failed }
func (r *recorder) Skipf(string, ...any)  { r.skipped = !r.failed }

// TestAllSkipsAreAudited reads the tests of the module.
func TestAllSkipsAreAudited(t *testing.T) {
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		Skip(t, "needs the sources of the module")
	}
	skips := regexp.MustCompile(`\b(t|tb|b|f)\.Skip(f|Now)?\(`)
	require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		require.Empty(t, skips.FindAllString(string(text), -1), "%s: use testutil.Need…", path)
		return err
	}))
}
