package netconf

import (
	"slices"
	"strings"
)

// sysctlFolders are those below /proc/sys/net whose files belong to a network namespace.
var sysctlFolders = []string{"core", "ipv4", "ipv6", "mpls", "netfilter", "unix"}

// sysctlPath returns the path below /proc/sys of the sysctl with that name. As with sysctl(8), dots part the words of a
// name, or slashes if one comes first; the other of the two then stands for itself, and for the dot of a link's name:
// net.ipv4.conf.eth0/100.forwarding is net/ipv4/conf/eth0.100/forwarding.
func sysctlPath(name string) (string, error) {
	path := name
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		path = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	words := strings.Split(path, "/")
	if len(words) < 3 || words[0] != "net" || !slices.Contains(sysctlFolders, words[1]) ||
		slices.ContainsFunc(words, func(w string) bool { return !isFileName(w) }) {
		return "", invalid("sysctls", name, "a sysctl of net."+strings.Join(sysctlFolders, ", net."))
	}
	return path, nil
}

func isFileName(s string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.@", r)
	}
	return s != "" && len(s) <= 64 && s != "." && s != ".." && !strings.ContainsFunc(s, odd)
}
