package netconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Config is what a target is to have. It is plain text and numbers; Apply and MakePlan check all of it before anything
// else.
type Config struct {
	Interface string            `json:"interface,omitempty"` // name in the target, "" for eth0
	Bridge    Bridge            `json:"bridge"`              // what the host end is attached to
	MAC       string            `json:"mac,omitempty"`       // of the interface; "": the kernel draws one
	MTU       int               `json:"mtu,omitempty"`       // of both ends, in bytes, 68 to 65535; 0: the kernel's 1500
	Addresses []Address         `json:"addresses,omitempty"`
	DNS       DNS               `json:"dns,omitzero"`      // for /etc/resolv.conf, which is left alone if this is empty
	Sysctls   map[string]string `json:"sysctls,omitempty"` // such as net.ipv4.ip_forward, without /proc/sys
}

// Bridge is a bridge on the host's side. If there is none of that name, Apply makes it and Delete deletes it together
// with its last port. One that is there already has to be up, and stays as it is, with the addresses it has.
type Bridge struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses,omitempty"` // with prefix length, such as 10.88.0.1/24, of a bridge made here
}

// Address is an address of the interface. The default route of its family goes to Gateway: there is one at most.
type Address struct {
	Address string `json:"address"`           // with prefix length, such as 10.88.0.2/24 or fd00:88::2/64
	Gateway string `json:"gateway,omitempty"` // another address of the same subnet; "": no default route
}

// DNS is what the target's resolver is told; see man 5 resolv.conf. The names are those of the CNI specification.
type DNS struct {
	Nameservers []string `json:"nameservers,omitempty"`
	Domain      string   `json:"domain,omitempty"`
	Search      []string `json:"search,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// maxConfig is how long a configuration may be, in bytes.
const maxConfig = 1 << 20

// ReadConfig reads and checks one JSON object, up to EOF. An unknown field is an error, as is anything behind the
// object. The error is an *Error that names field and value.
func ReadConfig(r io.Reader) (Config, error) {
	var c Config
	d := json.NewDecoder(io.LimitReader(r, maxConfig))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, explain(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Config{}, &Error{"config", "JSON", fmt.Errorf("more than one object, or more than %d bytes", maxConfig)}
	}
	_, err := c.check()
	return c, err
}

// explain names the field that has a value of another type.
func explain(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return invalid(wrong.Field, wrong.Value, "a JSON value for "+wrong.Type.String())
	case errors.Is(err, io.EOF):
		err = errors.New("there is none")
	}
	return &Error{"config", "JSON", err}
}
