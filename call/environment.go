package call

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
)

const (
	procsEnv = "GOMAXPROCS"
	depthEnv = "NSOPS_DEPTH" // counts the workers that a process descends from
	maxDepth = 8
)

// depth returns that number, 0 outside of workers and their descendants. Invalid text counts as too deep. The user of a
// set-user-ID program can set it and make its calls fail, but if that were ignored, its recursion would not end.
func depth() int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv(depthEnv), "0"))
	if err != nil || n < 0 {
		return maxDepth
	}
	return n
}

// workerEnv returns the environment of a worker. With GOMAXPROCS=procs, the Go runtime starts faster and does not watch
// the limits of a cgroup; MarkProcs says that the worker is to remove it.
func (c *Call) workerEnv(channel, procs int) (env []string, marks uint32) {
	ours := []string{wire.ChannelEnv + "=" + strconv.Itoa(channel), depthEnv + "=" + strconv.Itoa(depth()+1)}
	base := inherited()
	if c.onlyEnv {
		base = nil
	}
	env = withoutReplaced(slices.Concat(base, c.env, ours))
	if len(without(env, procsEnv)) == len(env) {
		env = append(env, procsEnv+"="+strconv.Itoa(procs))
		marks |= wire.MarkProcs
	}
	return env, marks
}

// argv returns the arguments of a worker. A program may have none: by setting os.Args, or before Linux 5.18 by execve(2).
func (c *Call) argv() []string {
	name := ""
	if len(os.Args) > 0 {
		name = os.Args[0]
	}
	return append([]string{name}, c.args...)
}

// without returns the environment without a variable.
func without(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(s string) bool { return strings.HasPrefix(s, name+"=") })
}

// withoutReplaced returns the environment with one assignment of each name: the last, at the place of the first.
func withoutReplaced(env []string) []string {
	kept := env[:0]
	index := map[string]int{}
	for _, assignment := range env {
		name, _, _ := strings.Cut(assignment, "=")
		if i, seen := index[name]; seen {
			kept[i] = assignment
			continue
		}
		index[name] = len(kept)
		kept = append(kept, assignment)
	}
	return kept
}

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
	return slices.DeleteFunc(env, func(assignment string) bool {
		name, _, _ := strings.Cut(assignment, "=")
		begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		return slices.Contains(unsafeNames, name) || slices.ContainsFunc(unsafePrefixes, begins)
	})
}
