// Command flannel-cni-standin stands in for flannel's own CNI plugin, whose module is not to be had.
//
// It turns what flanneld writes to /run/flannel/subnet.env (this node's pod subnet, the MTU, who
// masquerades) into a configuration for the `bridge` plugin with `host-local` addresses, and runs
// that. IPv4 only. What the network's "delegate" sets wins over what is derived here.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

const (
	defaultSubnetFile = "/run/flannel/subnet.env"
	defaultDataDir    = "/var/lib/cni/flannel"
)

// config is the plugin's network configuration, in the keys that flannel's chart writes.
type config struct {
	types.NetConf
	SubnetFile string         `json:"subnetFile"`
	DataDir    string         `json:"dataDir"`
	Delegate   map[string]any `json:"delegate"`
}

func parseConfig(stdin []byte) (*config, error) {
	c := &config{SubnetFile: defaultSubnetFile, DataDir: defaultDataDir}
	if err := json.Unmarshal(stdin, c); err != nil {
		return nil, fmt.Errorf("network configuration: %w", err)
	}
	return c, nil
}

// lease is what flanneld knows of this node's part of the pod network.
type lease struct {
	network, subnet string // CIDRs: the cluster's pods, this node's pods
	mtu             int    // bytes
	masquerades     bool   // flanneld does it, so that the bridge must not
}

func readLease(path string) (*lease, error) {
	file, err := os.Open(path)
	if err != nil {
		// kubelet tries again; the usual cause is that flanneld has not started yet.
		return nil, fmt.Errorf("flanneld has not written this node's subnet: %w", err)
	}
	defer file.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, found := strings.Cut(strings.TrimSpace(lines.Text()), "="); found {
			values[key] = value
		}
	}
	mtu, err := strconv.Atoi(values["FLANNEL_MTU"])
	if err != nil {
		return nil, fmt.Errorf("%s: FLANNEL_MTU: %w", path, err)
	}
	if values["FLANNEL_NETWORK"] == "" || values["FLANNEL_SUBNET"] == "" {
		return nil, fmt.Errorf("%s: FLANNEL_NETWORK or FLANNEL_SUBNET is missing", path)
	}
	// flanneld writes the gateway's address there (10.244.1.1/24); host-local wants the network.
	_, subnet, err := net.ParseCIDR(values["FLANNEL_SUBNET"])
	if err != nil {
		return nil, fmt.Errorf("%s: FLANNEL_SUBNET: %w", path, err)
	}
	return &lease{
		network:     values["FLANNEL_NETWORK"],
		subnet:      subnet.String(),
		mtu:         mtu,
		masquerades: values["FLANNEL_IPMASQ"] == "true",
	}, nil
}

// delegate is the configuration of the plugin that does the work, as JSON.
func delegate(c *config, l *lease) ([]byte, error) {
	derived := map[string]any{
		"type":      "bridge",
		"mtu":       l.mtu,
		"ipMasq":    !l.masquerades,
		"isGateway": true,
		"ipam": map[string]any{
			"type":   "host-local",
			"ranges": [][]map[string]string{{{"subnet": l.subnet}}},
			"routes": []map[string]string{{"dst": l.network}},
		},
	}
	for key, value := range c.Delegate {
		derived[key] = value
	}
	derived["name"] = c.Name
	derived["cniVersion"] = c.CNIVersion
	return json.Marshal(derived)
}

func delegateType(netconf []byte) (string, error) {
	var c types.NetConf
	if err := json.Unmarshal(netconf, &c); err != nil {
		return "", err
	}
	return c.Type, nil
}

// saved is where the delegate's configuration of one container is kept: DEL must undo what ADD did,
// even after flanneld has got another subnet.
func saved(c *config, containerID string) string { return filepath.Join(c.DataDir, containerID) }

func add(args *skel.CmdArgs) error {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	l, err := readLease(c.SubnetFile)
	if err != nil {
		return err
	}
	netconf, err := delegate(c, l)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(saved(c, args.ContainerID), netconf, 0o600); err != nil {
		return err
	}
	kind, err := delegateType(netconf)
	if err != nil {
		return err
	}
	result, err := invoke.DelegateAdd(context.Background(), kind, netconf, nil)
	if err != nil {
		return err
	}
	return types.PrintResult(result, c.CNIVersion)
}

// withSaved runs what CHECK and DEL share: find what ADD kept, and hand it to the delegate.
func withSaved(args *skel.CmdArgs, run func(kind string, netconf []byte) error) error {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	netconf, err := os.ReadFile(saved(c, args.ContainerID))
	if err != nil {
		return err
	}
	kind, err := delegateType(netconf)
	if err != nil {
		return err
	}
	return run(kind, netconf)
}

func check(args *skel.CmdArgs) error {
	return withSaved(args, func(kind string, netconf []byte) error {
		return invoke.DelegateCheck(context.Background(), kind, netconf, nil)
	})
}

func del(args *skel.CmdArgs) error {
	err := withSaved(args, func(kind string, netconf []byte) error {
		return invoke.DelegateDel(context.Background(), kind, netconf, nil)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was added, or it is gone already: DEL may come twice
	}
	if err != nil {
		return err
	}
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	return os.Remove(saved(c, args.ContainerID))
}

func main() {
	skel.PluginMainFuncs(
		skel.CNIFuncs{Add: add, Check: check, Del: del},
		version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0"),
		"flannel CNI plugin (Tinderbox stand-in)",
	)
}
