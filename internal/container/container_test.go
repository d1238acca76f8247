package container

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var id = strings.Repeat("0123456789abcdef", 4)

const rootless = "/user.slice/user-1000.slice/user@1000.service/user.slice/"

// cgroups are those that runtimes make, by what makes them. Cgroup is the path itself, unless said otherwise.
var cgroups = map[string]map[string]*Container{
	"none": {
		"/":                           nil,
		"":                            nil,
		"/init.scope":                 nil,
		"/user.slice/session-1.scope": nil,
		"/system.slice/web.service":   nil,
		"/default":                    nil,
		"/x/" + id[1:]:                nil,
		"/x/0" + id:                   nil,
		"/x/" + strings.ToUpper(strings.Repeat("a", 64)): nil,
		"/user.slice/default/app":                        nil, // only at the top is default containerd's
		"/default/web.scope":                             nil,
		"/default/a..b":                                  nil,
		"/default/a b":                                   nil,
		"/system.slice/" + id + ".service":               nil, // a health check of podman's
		"/x/.scope":                                      nil,
		"/x/web":                                         nil,
	},
	"docker": {
		"/docker/" + id:                                    {ID: id, Runtime: "docker"},
		"/docker/" + id + "/nested":                        {ID: id, Runtime: "docker", Cgroup: "/docker/" + id},
		"/docker/" + id + "/init.scope":                    {ID: id, Runtime: "docker", Cgroup: "/docker/" + id},
		"/a/docker/x/docker/" + id:                         {ID: id, Runtime: "docker"},
		"/system.slice/docker.service/docker/" + id:        {ID: id, Runtime: "docker"},
		"/my/parent.slice/docker-" + id + ".scope":         {ID: id, Runtime: "docker"},
		"/system.slice/docker-" + id + ".scope":            {ID: id, Runtime: "docker"},
		rootless + "docker-" + id + ".scope":               {ID: id, Runtime: "docker"},
		"/docker/buildkit/" + id[:25]:                      nil,
		"/lxc.payload.web/docker/" + id:                    {ID: id, Runtime: "docker"},
		"/docker/" + id + "/docker/" + id:                  {ID: id, Runtime: "docker"},
		"/system.slice/docker.service":                     nil,
		"/my-parent/" + id:                                 {ID: id}, // --cgroup-parent
		"/system.slice/docker-" + id + ".scope/supervisor": {ID: id, Runtime: "docker", Cgroup: "/system.slice/docker-" + id + ".scope"},
	},
	"podman": {
		"/machine.slice/libpod-" + id + ".scope":                                     {ID: id, Runtime: "podman"},
		"/machine.slice/libpod-" + id + ".scope/container":                           {ID: id, Runtime: "podman", Cgroup: "/machine.slice/libpod-" + id + ".scope"},
		"/machine.slice/libpod-conmon-" + id + ".scope":                              nil,
		"/libpod_parent/libpod-" + id:                                                {ID: id, Runtime: "podman"}, // --cgroup-manager=cgroupfs
		"/libpod_parent/conmon":                                                      nil,
		"/libpod_parent/" + id + "/libpod-" + id:                                     {ID: id, Runtime: "podman", Pod: id},
		"/libpod_parent/" + id:                                                       nil, // a pod
		"/machine.slice/machine-libpod_pod_" + id + ".slice":                         nil,
		"/machine.slice/machine-libpod_pod_" + id + ".slice/libpod-" + id + ".scope": {ID: id, Runtime: "podman", Pod: id},
		rootless + "libpod-" + id + ".scope/container":                               {ID: id, Runtime: "podman", Cgroup: rootless + "libpod-" + id + ".scope"},
		rootless + "user-libpod_pod_" + id + ".slice/libpod-" + id + ".scope":        {ID: id, Runtime: "podman", Pod: id},
		"/system.slice/web.service/libpod-payload-" + id:                             {ID: id, Runtime: "podman"}, // --cgroups=split
		"/system.slice/web.service/supervisor":                                       nil,
		"/x/conmon-" + id:                                                            nil,
	},
	"containerd": {
		"/default/web1":                          {ID: "web1", Runtime: "containerd"}, // ctr run
		"/default/my_web-1.2":                    {ID: "my_web-1.2", Runtime: "containerd"},
		"/default/" + id:                         {ID: id}, // nerdctl, or docker --cgroup-parent=/default
		"/k8s.io/web":                            {ID: "web", Runtime: "containerd"},
		"/docker/" + id + "/default/web":         {ID: "web", Runtime: "containerd"},
		"/system.slice/nerdctl-" + id + ".scope": {ID: id, Runtime: "containerd"},
		rootless + "nerdctl-" + id + ".scope":    {ID: id, Runtime: "containerd"},
		"/system.slice/containerd.service":       nil,
	},
	"kubernetes": {
		"/kubepods/besteffort/pod1a2b-3c/" + id: {ID: id, Pod: "1a2b-3c"},
		"/kubepods/pod1a2b-3c/" + id:            {ID: id, Pod: "1a2b-3c"},
		"/kubepods/pod1a2b-3c":                  nil,
		"/kubepods.slice/kubepods-pod1a_2b.slice/cri-containerd-" + id + ".scope":                             {ID: id, Runtime: "containerd", Pod: "1a-2b"},
		"/kubepods.slice/kubepods-pod1a_2b.slice/docker-" + id + ".scope":                                     {ID: id, Runtime: "docker", Pod: "1a-2b"},
		"/system.slice/containerd.service/kubepods-besteffort-pod7_a.slice:cri-containerd:" + id:              {ID: id, Runtime: "containerd", Pod: "7-a"},
		"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1_2.slice/cri-containerd-" + id + ".scope": {ID: id, Runtime: "containerd", Pod: "1-2"},
	},
	"cri-o": {
		"/kubepods.slice/kubepods-burstable-podf_0.slice/crio-" + id + ".scope":        {ID: id, Runtime: "cri-o", Pod: "f-0"},
		"/kubepods.slice/kubepods-burstable-podf_0.slice/crio-conmon-" + id + ".scope": nil,
		"/kubepods/burstable/podabc/crio-" + id:                                        {ID: id, Runtime: "cri-o", Pod: "abc"},
		"/machine.slice/crio-conmon-" + id + ".scope":                                  nil,
	},
	"lxc": {
		"/lxc.payload.web":             {ID: "web", Name: "web", Runtime: "lxc"},
		"/lxc.payload.web/init.scope":  {ID: "web", Name: "web", Runtime: "lxc", Cgroup: "/lxc.payload.web"},
		"/lxc.payload/web":             {ID: "web", Name: "web", Runtime: "lxc"},
		"/lxc/web/init.scope":          {ID: "web", Name: "web", Runtime: "lxc", Cgroup: "/lxc/web"},
		rootless + "lxc.payload.a.b-1": {ID: "a.b-1", Name: "a.b-1", Runtime: "lxc"},
		"/lxc.monitor.web":             nil,
		"/lxc.monitor/web":             nil,
		"/lxc.payload.":                nil,
		"/lxc":                         nil,
	},
	"machines": {
		`/machine.slice/machine-web.scope`:                        {ID: "web", Name: "web", Runtime: "nspawn"},
		`/machine.slice/machine-qemu.scope/payload`:               {ID: "qemu", Name: "qemu", Runtime: "nspawn", Cgroup: "/machine.slice/machine-qemu.scope"},
		`/machine.slice/machine-my\x2db\xc3\xb6x.scope`:           {ID: "my-böx", Name: "my-böx", Runtime: "nspawn"},
		`/machine.slice/systemd-nspawn@my\x2dbox.service/payload`: {ID: "my-box", Name: "my-box", Runtime: "nspawn", Cgroup: `/machine.slice/systemd-nspawn@my\x2dbox.service`},
		`/machine.slice/systemd-nspawn@.service`:                  nil,
		`/machine.slice/machine-qemu\x2d1\x2dvm.scope`:            nil,
		`/machine.slice/machine-lxc\x2d4711\x2dmy\x2dbox.scope`:   {ID: "lxc-4711-my-box", Name: "my-box", Runtime: "libvirt"},
		`/system.slice/machine-web.scope`:                         nil,
	},
	"runc and crun": {
		"/system.slice/runc-" + id + ".scope": {ID: id, Runtime: "runc"},
		"/system.slice/runc-web.scope":        {ID: "web", Runtime: "runc"},
		rootless + "crun-my-web.scope":        {ID: "my-web", Runtime: "crun"},
		"/system.slice/runc-.scope":           nil,
		"/runc-web":                           nil, // the cgroup of runc with cgroupfs has any name
		"/x/other-" + id + ".scope":           {ID: id},
		"/x/-" + id:                           {ID: id},
	},
}

func TestOf(t *testing.T) {
	for maker, paths := range cgroups {
		for cgroup, want := range paths {
			if want != nil && want.Cgroup == "" {
				want.Cgroup = cgroup
			}
			require.Equal(t, want, Of(cgroup), "%s: %s", maker, cgroup)
			if want != nil {
				require.Equal(t, want, At(want.Cgroup), "%s: %s", maker, cgroup)
			}
		}
	}
}

func TestIdentifiers(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "a.b-c_d": true, "1": true, strings.Repeat("a", 76): true,
		"": false, ".": false, "-a": false, "a-": false, "a--b": false, "a/b": false, "ä": false, strings.Repeat("a", 77): false,
		"web.service": false,
	} {
		require.Equal(t, want, isIdentifier(name), name)
	}
}

func FuzzOf(f *testing.F) {
	f.Add("/kubepods.slice/kubepods-pod1a_2b.slice:cri-containerd:" + id)
	f.Add("relative/docker-.scope")
	f.Add("::")
	f.Add("docker/" + id)
	f.Add("x/cri-containerd-" + id + ".scope")
	f.Add(`/machine.slice/machine-lxc\x2d.scope`)
	for _, paths := range cgroups {
		for cgroup := range paths {
			f.Add(cgroup)
		}
	}
	f.Fuzz(func(t *testing.T, cgroup string) {
		c := Of(cgroup)
		if c == nil {
			return
		}
		require.NotEmpty(t, c.ID)
		require.True(t, strings.HasPrefix(path.Clean("/"+cgroup), c.Cgroup))
		require.Equal(t, c, At(c.Cgroup))
		require.Contains(t, unescapeUnit(path.Base(c.Cgroup)), c.ID)
	})
}
