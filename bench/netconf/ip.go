package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// ip runs the ip command once for each line.
func ip(lines ...string) error {
	for _, line := range lines {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// commands are what people type to configure a container's interface.
func commands(netns string) []string {
	in := "-n " + netns + " "
	return []string{
		"link add veth0 mtu 1400 type veth peer name veth1 mtu 1400",
		"link set veth0 master br0",
		"link set veth0 up",
		"link set veth1 netns " + netns,
		in + "link set veth1 name eth0",
		in + "link set eth0 address 02:00:00:00:00:02",
		in + "link set lo up",
		in + "link set eth0 up",
		in + "addr add 10.88.0.2/24 dev eth0",
		in + "addr add fd00:88::2/64 dev eth0 nodad",
		in + "route add default via 10.88.0.1",
		in + "route add default via fd00:88::1",
	}
}

// batches does the same with two processes: the first makes eth0 in the target, the second works there.
func batches(netns string) error {
	err := batch("", "link add veth0 mtu 1400 master br0 up type veth peer name eth0 mtu 1400 address 02:00:00:00:00:02 netns "+netns)
	if err != nil {
		return err
	}
	return batch(netns, "link set lo up", "link set eth0 up", "addr add 10.88.0.2/24 dev eth0",
		"addr add fd00:88::2/64 dev eth0 nodad", "route add default via 10.88.0.1", "route add default via fd00:88::1")
}

func batch(netns string, lines ...string) error {
	args := []string{"-batch", "-"}
	if netns != "" {
		args = append([]string{"-n", netns}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch: %w: %s", err, out)
	}
	return nil
}

// check makes sure that a route did all of its work.
func check(netns string) error {
	var all strings.Builder
	for _, what := range []string{"addr", "route", "-6 route"} {
		out, err := exec.Command("ip", strings.Fields("-n "+netns+" "+what)...).Output()
		if err != nil {
			return err
		}
		all.Write(out)
	}
	wanted := []string{"mtu 1400", "02:00:00:00:00:02", "10.88.0.2/24", "fd00:88::2/64",
		"default via 10.88.0.1", "default via fd00:88::1"}
	for _, want := range wanted {
		if !strings.Contains(all.String(), want) {
			return fmt.Errorf("the namespace lacks %s:\n%s", want, all.String())
		}
	}
	return nil
}
