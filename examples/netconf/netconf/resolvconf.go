package netconf

import "strings"

// IsZero says whether nothing is configured.
func (d DNS) IsZero() bool { return d.text() == "" }

// text returns what goes into /etc/resolv.conf, "" if nothing is configured.
func (d DNS) text() string {
	var s strings.Builder
	for _, server := range d.Nameservers {
		s.WriteString("nameserver " + server + "\n")
	}
	if d.Domain != "" {
		s.WriteString("domain " + d.Domain + "\n")
	}
	if len(d.Search) > 0 {
		s.WriteString("search " + strings.Join(d.Search, " ") + "\n")
	}
	if len(d.Options) > 0 {
		s.WriteString("options " + strings.Join(d.Options, " ") + "\n")
	}
	return s.String()
}
