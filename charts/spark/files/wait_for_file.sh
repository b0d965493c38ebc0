#!/bin/sh
# Waits until there is the file $1; its caller limits it.
until [ -e "$1" ]; do sleep 0.2; done
