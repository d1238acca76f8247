package test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocsNameWhatIsThere follows each link of the documents to a file of the module. Where a name in backquotes is said to be
// in a file, it is.
func TestDocsNameWhatIsThere(t *testing.T) {
	link := regexp.MustCompile("(?:`([^`]+)` in )?\\[[^]]*\\]\\(([^):#]+)\\)")
	docs, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	links := 0
	for _, doc := range append(docs, "../README.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(doc)
		require.NoError(t, err)
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			path := filepath.Join(filepath.Dir(doc), match[2])
			target, err := os.ReadFile(path)
			require.NoError(t, err, "%s in %s", match[2], doc)
			require.Contains(t, string(target), match[1], "%s in %s", match[2], doc)
			links++
		}
	}
	require.Greater(t, links, 20)
}
