//go:build tools

// Package tools pins the commands that toolchain/builds.py builds, so that go.mod and go.sum hold
// the checksum of every module behind them.
package tools

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
