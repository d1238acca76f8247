package call

import (
	"os"
	"slices"
	"strings"

	"github.com/nsops/nsops/nsenter"
)

// A program that is set-user-ID, set-group-ID or has file capabilities gets its environment from a user with fewer
// rights. The kernel tells the program so (AT_SECURE), but not its worker, whose real and effective IDs are equal. So
// the worker must not inherit the variables that loaders, C libraries, shells and interpreters ignore in such a
// program, nor those that control the Go runtime: unsafeNames, and all names that begin with one of unsafePrefixes.
var (
	unsafeNames = []string{
		// C libraries: man 3 secure_getenv
		"DATEMSK", "HESIOD_CONFIG", "HES_DOMAIN", "HOSTALIASES", "I18NPATH", "LIBC_FATAL_STDERR_", "LOCALDOMAIN", "LOCPATH",
		"NLSPATH", "PATH_LOCALE", "RES_OPTIONS", "TMPDIR", "TZ", "TZDIR",
		// Go: its runtime, and what package time and crypto/x509 read
		"GOCOVERDIR", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GORACE", "GOROOT", "GOTRACEBACK",
		"SSL_CERT_DIR", "SSL_CERT_FILE", "ZONEINFO",
		// shells
		"BASHOPTS", "BASH_ENV", "CDPATH", "ENV", "FPATH", "GLOBIGNORE", "IFS", "PS4", "SHELLOPTS", "ZDOTDIR",
		// interpreters
		"JAVA_TOOL_OPTIONS", "NODE_OPTIONS", "RUBYLIB", "RUBYOPT",
	}
	unsafePrefixes = []string{
		"GCONV_", "GETCONF_", "GLIBC_", "GMON_", "LD_", "MALLOC_", "MUSL_", "NIS_", "RESOLV_",
		"ASAN_", "GCOV_", "LLVM_PROFILE_", "LSAN_", "MSAN_", "TSAN_", "UBSAN_",
		"GNUTLS_", "OPENSSL_",
		"BASH_FUNC_", "PERL", "PYTHON", "TERMCAP", "TERMINFO",
	}
)

// elevated reports whether this program may have more rights than the user who has set its environment.
func elevated() bool {
	return nsenter.Secure() || os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid()
}

// inherited returns the part of this program's environment that a worker inherits.
func inherited() []string {
	env := os.Environ()
	if !elevated() {
		return env
	}
	return slices.DeleteFunc(env, isUnsafe)
}

func isUnsafe(assignment string) bool {
	name, _, _ := strings.Cut(assignment, "=")
	return slices.Contains(unsafeNames, name) ||
		slices.ContainsFunc(unsafePrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
