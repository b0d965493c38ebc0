#!/usr/bin/env bash
# Makes the folder on the shared volume that a text is copied into; with "delete", removes it.
# FOLDER: below /srv/shared/wordcount/inputs
set -euo pipefail

[[ $FOLDER == /srv/shared/wordcount/inputs/?* ]] || fail "$FOLDER is no folder for a text"
case ${1:-create} in
  delete) rm -rf "$FOLDER" ;;
  *) install -d -m 2775 -o "$SUDO_UID" -g 185 "$FOLDER" ;;
esac
