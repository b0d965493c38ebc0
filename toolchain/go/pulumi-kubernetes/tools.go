//go:build tools

// Package tools pins the commands that toolchain/builds.py builds, so that go.mod and go.sum hold
// the checksum of every module behind them.
package tools

import (
	_ "github.com/pulumi/pulumi-kubernetes/provider/v4/cmd/pulumi-resource-kubernetes"
)
