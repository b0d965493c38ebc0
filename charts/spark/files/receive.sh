#!/bin/sh
# Writes the first $2 bytes of its input to the file $1: of a websocket only one end can be closed, so
# this one must know how much to read.
head -c "$2" >"$1"
