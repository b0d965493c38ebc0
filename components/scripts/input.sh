#!/usr/bin/env bash
# Makes the folder on the shared volume that files are copied into; with "delete", removes it.
# FOLDER: below /srv/shared/wordcount/inputs or /srv/shared/spark/jars
set -euo pipefail

[[ $FOLDER == /srv/shared/wordcount/inputs/?* || $FOLDER == /srv/shared/spark/jars/?* ]] ||
  fail "$FOLDER is no folder for files that are brought"
case ${1:-create} in
  delete) rm -rf "$FOLDER" ;;
  *) install -d -m 2775 -o "$SUDO_UID" -g 185 "$FOLDER" ;;
esac
