#!/bin/sh
# Runs a program of Python's that runs what follows "--"; images for R, and such as have Java only,
# have no Python: there that is just run. Its text is the command of drivers' containers.
if command -v python3 >/dev/null; then exec python3 "$@"; fi
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
