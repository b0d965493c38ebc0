#!/usr/bin/env bash
# Prints what a bill is made of, below Spark's folder $1: the nodes that there were (see nodes.sh), an
# empty line, and usage.json of each application that ended since $2 (Unix seconds), in a line each.
set -euo pipefail

cd "$1"
cat nodes.tsv 2>/dev/null || true
echo
[[ ! -d usage ]] || find usage -mindepth 2 -maxdepth 2 -name usage.json -newermt "@$2" -exec cat -- {} +
