#!/bin/sh
# Prints a private key, then its public key; nothing stays on the disk. What is below these comments
# stands in the state of every stack: any change of it makes another key, and so all nodes anew.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ssh-keygen -q -t ed25519 -N '' -C tinderbox -f "$folder/key"
cat "$folder/key" "$folder/key.pub"
